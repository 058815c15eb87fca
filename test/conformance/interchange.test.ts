import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Ground } from '../support/ground.ts';
import {
  FUSE_OVERLAYFS,
  FUSE_OVERLAYFS_ROOTLESS,
  KERNEL,
  KERNEL_ROOTLESS,
  LAMINA,
  LAMINA_ROOTLESS,
  type Layers,
  type Mounter,
} from '../support/mounters.ts';
import { firstMissing, titled } from '../support/requirements.ts';
import { type System } from '../support/system.ts';
import { type Tree, directory, file, hardlink, makeTree, snapshot, symlink, whiteout } from '../support/tree.ts';

// Uppers that one union wrote, mounted by the others: the same tree where the format is one that both know.

const OLD = 1_000_000_000_123_456_789n;
const BIG = 'x'.repeat(100_000);

type At = (name: string) => string;

/** What an upper can hold beyond plain files, and how a union writes it. */
type Format =
  | 'whiteout devices'
  | '.wh. files'
  | 'trusted.overlay.opaque'
  | 'user.overlay.opaque'
  | 'user.fuseoverlayfs.opaque'
  | '.wh..wh..opq'
  | 'redirects'
  | 'metacopies'
  | 'the index of hard links';

/** One kind of change, in a directory of its own. */
interface Part {
  readonly top: Tree;
  readonly bottom: Tree;
  readonly change: (system: System, at: At) => Promise<void>;
}

const PARTS = {
  files: {
    top: {
      etc: { passwd: 'root', group: whiteout, 'conf.d': { a: 'a', b: 'b' } },
      tmp: directory({}, { mode: 0o1777 }),
    },
    bottom: {
      etc: { group: 'hidden', hosts: 'hosts', 'conf.d': { c: 'c', d: 'd' } },
      usr: { x: file('x', { xattrs: { 'user.x': 'y' } }), link: symlink('x'), gone: { deep: { f: 'f' } } },
      over: 'replaced by a directory',
    },
    async change(system, at) {
      await system.put(at('etc/hosts'), 'changed');
      await system.put(at('etc/group'), 'made anew');
      await system.unlink(at('etc/conf.d/c'));
      await system.unlink(at('etc/conf.d/a'));
      await system.put(at('etc/passwd.new'), 'next');
      await system.link(at('etc/passwd'), at('etc/passwd-'));
      await system.rename(at('etc/passwd.new'), at('etc/passwd'));
      await system.setxattr(at('usr/x'), 'user.z', 'w');
      await system.utimens(at('usr/x'), OLD, OLD);
      await system.rename(at('usr/link'), at('usr/moved'));
      for (const name of ['usr/gone/deep/f', 'over']) await system.unlink(at(name));
      for (const name of ['usr/gone/deep', 'usr/gone']) await system.rmdir(at(name));
      await system.mknod(at('tmp/fifo'), 0o010600);
      await system.symlink('/absolute', at('tmp/s'));
      await system.truncate(at('etc/conf.d/d'), 0);
      await system.chmod(at('etc/conf.d'), 0o711);
    },
  },
  directories: {
    top: { marked: { shown: 'shown' }, d: { a: 'a' } },
    bottom: { marked: { below: '' }, d: { b: 'b' }, e: { hidden: '', sub: { hidden: '' } }, f: 'file' },
    async change(system, at) {
      for (const name of ['d/a', 'd/b', 'e/hidden', 'e/sub/hidden', 'f']) await system.unlink(at(name));
      await system.rmdir(at('e/sub'));
      for (const name of ['d', 'e']) {
        await system.rmdir(at(name));
        await system.mkdir(at(name));
        await system.put(at(`${name}/new`), 'new');
      }
      await system.mkdir(at('f'));
      await system.mkdir(at('e/sub'));
      await system.mkdir(at('var'));
      await system.put(at('var/f'), 'deep');
      await system.rename(at('var'), at('srv'));
    },
  },
  redirects: {
    top: { lib: { x: 'x', sub: { y: 'y' } }, merged: { t: 't' } },
    bottom: { lib: { z: 'z' }, merged: { b: 'b', sub: { s: 's' } }, to: {} },
    async change(system, at) {
      await system.rename(at('lib'), at('to/lib'));
      await system.put(at('to/lib/new'), 'n');
      await system.rename(at('to/lib/sub'), at('sub'));
      await system.rename(at('merged'), at('renamed'));
      await system.unlink(at('renamed/b'));
      await system.mkdir(at('merged'));
      await system.rename(at('renamed/sub'), at('merged/sub'));
    },
  },
  metacopies: {
    top: { big: BIG, opaque: directory({ shown: 'shown' }) },
    bottom: { moved: BIG, d: { f: file(BIG, { mode: 0o4755, mtime: OLD }) }, opaque: { hidden: '' } },
    async change(system, at) {
      await system.chmod(at('big'), 0o600);
      await system.utimens(at('d/f'), OLD, OLD);
      await system.chmod(at('moved'), 0o640);
      await system.rename(at('moved'), at('d/moved'));
      await system.link(at('d/f'), at('f'));
      await system.chmod(at('opaque/shown'), 0o640);
      await system.rename(at('opaque/shown'), at('shown'));
    },
  },
  links: {
    top: { a: 'one', b: hardlink('a'), d: { c: hardlink('../a') } },
    bottom: { m: 'low', n: hardlink('m'), p: hardlink('m') },
    async change(system, at) {
      await system.put(at('b'), 'two');
      await system.chmod(at('m'), 0o600);
      await system.rename(at('n'), at('d/n'));
      await system.unlink(at('p'));
      await system.link(at('d/c'), at('e'));
    },
  },
} as const satisfies Readonly<Record<string, Part>>;

type PartName = keyof typeof PARTS;

/** A union with its options, as it writes and reads. */
interface Union {
  readonly name: string;
  readonly mounter: Mounter;
  readonly options?: readonly string[];
  readonly environment?: readonly string[];
  readonly reads: readonly Format[];
}

interface Writer extends Union {
  /** Each part that it can write, with the formats that this takes. */
  readonly writes: Readonly<Partial<Record<PartName, readonly Format[]>>>;
}

const ON_DEVICES: readonly Format[] = ['whiteout devices'];
const BY_TRUSTED: readonly Format[] = ['whiteout devices', 'trusted.overlay.opaque'];
const BY_USER: readonly Format[] = ['whiteout devices', 'user.overlay.opaque'];
const BY_NAME: readonly Format[] = ['.wh. files'];
const KERNEL_READS: readonly Format[] = [...BY_TRUSTED, 'redirects', 'metacopies', 'the index of hard links'];
const FUSE_OVERLAYFS_READS: readonly Format[] = [
  ...BY_TRUSTED,
  '.wh. files',
  'user.overlay.opaque',
  'user.fuseoverlayfs.opaque',
  '.wh..wh..opq',
];
const LAMINA_READS: readonly Format[] = [...FUSE_OVERLAYFS_READS, 'redirects', 'metacopies', 'the index of hard links'];
const DOT_WHITEOUTS = ['FUSE_OVERLAYFS_DISABLE_OVL_WHITEOUT=1'];
const OFF = ['redirect_dir=off', 'index=off', 'metacopy=off'];
const NO_TRUSTED = (formats: readonly Format[]) => formats.filter((format) => !format.startsWith('trusted'));

const UNIONS: readonly Writer[] = [
  {
    name: 'kernel overlayfs with all features off',
    mounter: KERNEL,
    options: OFF,
    reads: BY_TRUSTED,
    writes: { files: ON_DEVICES, directories: BY_TRUSTED },
  },
  {
    name: 'kernel overlayfs with redirect_dir=on',
    mounter: KERNEL,
    options: ['redirect_dir=on', 'index=off', 'metacopy=off'],
    reads: [...BY_TRUSTED, 'redirects'],
    writes: { files: ON_DEVICES, directories: BY_TRUSTED, redirects: [...BY_TRUSTED, 'redirects'] },
  },
  {
    name: 'kernel overlayfs with index=on',
    mounter: KERNEL,
    options: ['redirect_dir=off', 'index=on', 'metacopy=off'],
    reads: [...BY_TRUSTED, 'the index of hard links'],
    writes: { files: ON_DEVICES, directories: BY_TRUSTED, links: [...BY_TRUSTED, 'the index of hard links'] },
  },
  {
    name: 'kernel overlayfs with redirect_dir=on and metacopy=on',
    mounter: KERNEL,
    options: ['redirect_dir=on', 'index=off', 'metacopy=on'],
    reads: [...BY_TRUSTED, 'redirects', 'metacopies'],
    writes: {
      directories: BY_TRUSTED,
      redirects: [...BY_TRUSTED, 'redirects'],
      metacopies: [...BY_TRUSTED, 'redirects', 'metacopies'],
    },
  },
  {
    name: 'kernel overlayfs with all features on',
    mounter: KERNEL,
    reads: KERNEL_READS,
    writes: {
      files: [...ON_DEVICES, 'metacopies'],
      directories: BY_TRUSTED,
      redirects: [...BY_TRUSTED, 'redirects'],
      metacopies: [...BY_TRUSTED, 'redirects', 'metacopies'],
      links: [...BY_TRUSTED, 'the index of hard links'],
    },
  },
  {
    name: 'fuse-overlayfs',
    mounter: FUSE_OVERLAYFS,
    reads: FUSE_OVERLAYFS_READS,
    writes: { files: ON_DEVICES, directories: [...BY_TRUSTED, '.wh..wh..opq'] },
  },
  {
    name: 'fuse-overlayfs with .wh. files',
    mounter: FUSE_OVERLAYFS,
    environment: DOT_WHITEOUTS,
    reads: FUSE_OVERLAYFS_READS,
    writes: { files: BY_NAME, directories: [...BY_NAME, '.wh..wh..opq'] },
  },
  {
    name: 'lamina',
    mounter: LAMINA,
    options: ['metacopy=off'],
    reads: LAMINA_READS,
    writes: {
      files: ON_DEVICES,
      directories: BY_TRUSTED,
      redirects: [...BY_TRUSTED, 'redirects'],
      links: [...BY_TRUSTED, 'the index of hard links'],
    },
  },
  {
    name: 'lamina with metacopy=on',
    mounter: LAMINA,
    options: ['metacopy=on'],
    reads: LAMINA_READS,
    writes: {
      files: [...ON_DEVICES, 'metacopies'],
      metacopies: [...BY_TRUSTED, 'redirects', 'metacopies'],
      links: [...BY_TRUSTED, 'the index of hard links'],
    },
  },
  {
    name: 'lamina with .wh. files',
    mounter: LAMINA,
    options: ['metacopy=off'],
    environment: DOT_WHITEOUTS,
    reads: LAMINA_READS,
    writes: { files: BY_NAME, directories: [...BY_NAME, 'trusted.overlay.opaque'] },
  },
  {
    name: 'kernel overlayfs in a user namespace',
    mounter: KERNEL_ROOTLESS,
    reads: BY_USER,
    writes: { files: ON_DEVICES, directories: BY_USER },
  },
  {
    name: 'fuse-overlayfs in a user namespace',
    mounter: FUSE_OVERLAYFS_ROOTLESS,
    reads: NO_TRUSTED(FUSE_OVERLAYFS_READS),
    writes: { files: ON_DEVICES, directories: [...ON_DEVICES, 'user.fuseoverlayfs.opaque', '.wh..wh..opq'] },
  },
  {
    name: 'fuse-overlayfs with .wh. files in a user namespace',
    mounter: FUSE_OVERLAYFS_ROOTLESS,
    environment: DOT_WHITEOUTS,
    reads: NO_TRUSTED(FUSE_OVERLAYFS_READS),
    writes: { files: BY_NAME, directories: [...BY_NAME, 'user.fuseoverlayfs.opaque', '.wh..wh..opq'] },
  },
  {
    name: 'lamina in a user namespace',
    mounter: LAMINA_ROOTLESS,
    reads: NO_TRUSTED(LAMINA_READS),
    writes: {
      files: ON_DEVICES,
      directories: BY_USER,
      redirects: [...BY_USER, 'redirects'],
      links: [...BY_USER, 'the index of hard links'],
    },
  },
  {
    name: 'lamina with metacopy=on in a user namespace',
    mounter: LAMINA_ROOTLESS,
    options: ['metacopy=on'],
    reads: NO_TRUSTED(LAMINA_READS),
    writes: { metacopies: [...BY_USER, 'redirects', 'metacopies'] },
  },
  {
    name: 'lamina with .wh. files in a user namespace',
    mounter: LAMINA_ROOTLESS,
    environment: DOT_WHITEOUTS,
    reads: NO_TRUSTED(LAMINA_READS),
    writes: { files: BY_NAME, directories: [...BY_NAME, 'user.overlay.opaque'] },
  },
];

/** One reader of each kind; the kernel with all that it can read. */
const READERS: readonly Union[] = UNIONS.filter(({ name }) =>
  [
    'kernel overlayfs with all features on',
    'fuse-overlayfs',
    'lamina',
    'kernel overlayfs in a user namespace',
    'fuse-overlayfs in a user namespace',
    'lamina in a user namespace',
  ].includes(name),
);

/** The pairs of which one is ours, on the same ground, where ids and marks are the same for both. */
function readersOf(writer: Writer): readonly Union[] {
  const ours = (union: Union): boolean => union.name.startsWith('lamina');
  return READERS.filter((reader) => reader.mounter.ground === writer.mounter.ground && (ours(writer) || ours(reader)));
}

/** What can be compared of a tree that both have had a hand in. */
function comparable(lines: readonly string[], ...unions: readonly Union[]): readonly string[] {
  if (!unions.some(({ name }) => name.startsWith('fuse-overlayfs'))) return lines;
  // Its writeback cache shows another mtime than it writes, but for those that are set.
  return lines.map((line) => line.replace(/ mtime (?!1000000000123456789)\d+/, ''));
}

/** Why a reader need not understand what a writer wrote; undefined where it must. */
function unread(reader: Union, formats: readonly Format[]): string | undefined {
  const unknown = formats.find((format) => !reader.reads.includes(format));
  return unknown === undefined ? undefined : `it does not read ${unknown}`;
}

/** Layers, and what was seen of them when they were written. */
class Exchange {
  readonly ground: Ground;
  readonly system: System;
  readonly #writer: Writer;
  readonly written = new Map<PartName, readonly string[]>();

  private constructor(ground: Ground, system: System, writer: Writer) {
    this.ground = ground;
    this.system = system;
    this.#writer = writer;
  }

  static async open(writer: Writer): Promise<Exchange> {
    const ground = await Ground.open(writer.mounter.ground);
    const system = await ground.system();
    for (const name of ['top', 'bottom', 'upper', 'work', 'merged']) await system.mkdir(`${ground.directory}/${name}`);
    for (const part of partsOf(writer)) {
      await makeTree(system, `${ground.directory}/top/${part}`, PARTS[part].top);
      await makeTree(system, `${ground.directory}/bottom/${part}`, PARTS[part].bottom);
    }
    return new Exchange(ground, system, writer);
  }

  /** Mounts, acts on each part, unmounts. */
  async within(union: Union, parts: readonly PartName[], action: (part: PartName) => Promise<void>): Promise<void> {
    const layers: Layers = {
      lowers: ['top', 'bottom'],
      upper: 'upper',
      work: 'work',
      cwd: this.ground.directory,
      options: union.options ?? [],
      environment: union.environment ?? [],
    };
    const mounted = await union.mounter.mount(this.ground, layers, `${this.ground.directory}/merged`);
    try {
      for (const part of parts) await action(part);
    } finally {
      await mounted.unmount();
    }
  }

  readonly at = (part: PartName, name: string): string => `${this.ground.directory}/merged/${part}/${name}`;

  seen(part: PartName): Promise<string[]> {
    return snapshot(this.system, `${this.ground.directory}/merged/${part}`);
  }

  async write(): Promise<void> {
    await this.within(this.#writer, partsOf(this.#writer), async (part) => {
      await PARTS[part].change(this.system, (name) => this.at(part, name));
      this.written.set(part, await this.seen(part));
    });
  }
}

function partsOf(writer: Writer): readonly PartName[] {
  return (Object.keys(PARTS) as PartName[]).filter((part) => writer.writes[part] !== undefined);
}

/** What a reader goes on with where the writer stopped; every union can. */
async function goOn(system: System, at: At): Promise<void> {
  await system.unlink(at('etc/hosts'));
  await system.put(at('etc/conf.d/c'), 'back');
  await system.unlink(at('etc/passwd-'));
  await system.put(at('usr/x'), 'on');
  await system.rename(at('tmp/s'), at('usr/s'));
}

interface Reading {
  readonly read: ReadonlyMap<PartName, readonly string[]>;
  /** After the reader went on. */
  readonly left: readonly string[];
  /** What the writer sees then. */
  readonly back: ReadonlyMap<PartName, readonly string[]>;
}

/** The reader reads, and goes on where it has read the plain files; then the writer reads. */
async function exchangeWith(exchange: Exchange, writer: Writer, reader: Union): Promise<Reading> {
  const read = new Map<PartName, readonly string[]>();
  let left: readonly string[] = [];
  await exchange.within(reader, knownParts(writer, reader), async (part) => {
    read.set(part, await exchange.seen(part));
    if (part !== 'files') return;
    await goOn(exchange.system, (name) => exchange.at(part, name));
    left = await exchange.seen(part);
  });
  const back = new Map<PartName, readonly string[]>();
  await exchange.within(writer, partsOf(writer), async (part) => {
    back.set(part, await exchange.seen(part));
  });
  return { read, left, back };
}

function knownParts(writer: Writer, reader: Union): readonly PartName[] {
  return partsOf(writer).filter((part) => unread(reader, writer.writes[part] ?? []) === undefined);
}

function readings(writer: Writer, reader: Union): void {
  let exchange: Exchange | undefined;
  let reading: Reading | undefined;
  beforeAll(async () => {
    exchange = await Exchange.open(writer);
    await exchange.write();
    reading = await exchangeWith(exchange, writer, reader);
  });
  afterAll(() => exchange?.ground.close());
  const shown = (lines: readonly string[] = []) => comparable(lines, writer, reader);
  for (const part of partsOf(writer)) {
    const reason = unread(reader, writer.writes[part] ?? []);
    test.skipIf(reason !== undefined)(titled(`${part}: the same tree`, reason), () => {
      expect(shown(reading?.read.get(part))).toEqual(shown(exchange?.written.get(part)));
    });
  }
  const goesOn = knownParts(writer, reader).includes('files');
  const rest = `the writer finds ${goesOn ? 'what the reader changed, and ' : ''}the rest as it was`;
  test(rest, () => {
    for (const part of partsOf(writer)) {
      const expected = goesOn && part === 'files' ? reading?.left : exchange?.written.get(part);
      expect(shown(reading?.back.get(part))).toEqual(shown(expected));
    }
  });
}

for (const writer of UNIONS) {
  for (const reader of readersOf(writer)) {
    const missing = firstMissing(writer.mounter.missing, reader.mounter.missing);
    const title = titled(`uppers of ${writer.name}, read by ${reader.name}`, missing);
    describe.skipIf(missing !== undefined)(title, () => readings(writer, reader));
  }
}

const bothAsRoot = firstMissing(KERNEL.missing, LAMINA.missing);

describe.skipIf(bothAsRoot !== undefined)(titled('the same changes by lamina and kernel overlayfs', bothAsRoot), () => {
  test('make the same tree', async () => {
    const trees: string[][] = [];
    const writers = UNIONS.filter(({ name }) => /^(lamina with metacopy=on|kernel .* all features on)$/.test(name));
    for (const writer of writers) {
      const writes = Object.fromEntries(Object.keys(PARTS).map((part) => [part, []]));
      const exchange = await Exchange.open({ ...writer, writes });
      try {
        await exchange.write();
        trees.push([...exchange.written.values()].flat().map((line) => line.replace(/ mtime \d+/, '')));
      } finally {
        await exchange.ground.close();
      }
    }
    expect(trees).toHaveLength(2);
    expect(trees[0]).toEqual(trees[1]);
  });
});
