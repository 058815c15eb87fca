import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  linkSync,
  lutimesSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { toBytes } from '../../fs/sys/bytes.ts';
import { packUpper } from '../../runner/container/upper-layer.ts';
import { type PackOptions } from '../../runner/image/pack.ts';
import { Warnings } from '../../runner/image/warnings.ts';
import { type ArchiveEntry, tar } from '../image/archives.ts';
import { run, snapshot, Target, temporary, unpackStack } from '../image/ground.ts';
import { DIST } from '../support/paths.ts';
import { firstMissing, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';

const missing = firstMissing(isRoot(), hasFuseDevice());
const LAMINA = join(DIST, 'cli/lamina.js');

/** As `snapshot`, with the names of a file that are seen, not counting such as a layer between hides. */
function shown(root: string): string[] {
  const lines = snapshot(root);
  const groups = new Map<string, number>();
  const link = / links \d+ with (\S+)/;
  for (const line of lines) {
    const first = link.exec(line)?.[1];
    if (first !== undefined) groups.set(first, (groups.get(first) ?? 0) + 1);
  }
  return lines.map((line) =>
    line.replace(link, (_, first: string) => ((groups.get(first) ?? 0) > 1 ? ` linked with ${first}` : '')),
  );
}

/** A union over layers, changed through its mount, and what it showed in the end. */
class Site {
  readonly base = temporary();
  readonly layers: readonly string[];
  merged: readonly string[] = [];

  /** @param layers paths, the topmost first. */
  constructor(layers: readonly string[]) {
    this.layers = layers;
    for (const name of ['upper', 'work', 'mnt']) mkdirSync(join(this.base, name));
    chmodSync(join(this.base, 'upper'), 0o755);
  }

  /** Runs `work` in the mounted union, and keeps what the union shows then. */
  change(work: (root: string) => void, options: readonly string[] = []): void {
    const { mountpoint } = this;
    const lowers = this.layers.flatMap((layer) => ['--lower', layer]);
    const upper = ['--upper', join(this.base, 'upper'), '--work', join(this.base, 'work')];
    run(process.execPath, LAMINA, 'mount', ...lowers, ...upper, ...options, mountpoint);
    try {
      work(mountpoint);
      this.merged = shown(mountpoint);
    } finally {
      run('umount', mountpoint);
    }
  }

  get mountpoint(): string {
    return join(this.base, 'mnt');
  }

  async pack(options: Partial<PackOptions> = {}): Promise<Buffer> {
    const paths = { upper: toBytes(join(this.base, 'upper')), work: toBytes(join(this.base, 'work')) };
    const chunks: Uint8Array[] = [];
    const archive = packUpper({ ...paths, lowers: this.layers.map(toBytes) }, { warnings: new Warnings(), ...options });
    for await (const chunk of archive) chunks.push(chunk);
    return Buffer.concat(chunks);
  }

  /** What the layers with the packed one on top of them show. */
  async repacked(): Promise<string[]> {
    const target = new Target();
    await target.unpack(await this.pack(), this.layers);
    const lowers = [target.path, ...this.layers].flatMap((layer) => ['--lower', layer]);
    run(process.execPath, LAMINA, 'mount', ...lowers, this.mountpoint);
    try {
      return shown(this.mountpoint);
    } finally {
      run('umount', this.mountpoint);
    }
  }
}

const BOTTOM: readonly ArchiveEntry[] = [
  { name: 'a/', type: '5', mode: 0o755 },
  { name: 'a/x', data: 'one' },
  { name: 'a/y', mode: 0o4755, uid: 3, data: 'y'.repeat(5000) },
  { name: 'a/b/', type: '5', mode: 0o2775, gid: 7 },
  { name: 'a/b/x', data: 'deep' },
  { name: 'a/b/z', type: '2', linkname: '../x' },
  { name: 'b/', type: '5', mode: 0o700, pax: { 'SCHILY.xattr.user.note': 'here' } },
  { name: 'b/x', type: '1', linkname: 'a/x' },
  { name: 'b/y', type: '1', linkname: 'a/b/x' },
  { name: 'c/', type: '5' },
  { name: 'c/a/', type: '5' },
  { name: 'c/a/b', data: 'file' },
  { name: 'x', data: 'top' },
  { name: 'y', type: '1', linkname: 'c/a/b' },
];
const MIDDLE: readonly ArchiveEntry[] = [
  { name: 'a/', type: '5', mode: 0o711 },
  { name: 'a/b/', type: '5', mode: 0o755 },
  { name: 'a/b/c', data: 'of the middle' },
  { name: 'a/.wh.y' },
  { name: 'c/', type: '5' },
  { name: 'c/.wh..wh..opq' },
  { name: 'c/x/', type: '5' },
  { name: 'c/x/y', data: 'opaque' },
  { name: 'c/b', type: '1', linkname: 'c/x/y' },
];

async function layers(): Promise<string[]> {
  return (await unpackStack(tar(...BOTTOM), tar(...MIDDLE))).toReversed();
}

type Step = (root: string) => void;

const paths = fc
  .array(fc.constantFrom('a', 'b', 'c', 'x', 'y', 'caf\u00e9'), { minLength: 1, maxLength: 3 })
  .map((names) => names.join('/'));

const named = <T>(
  argument: fc.Arbitrary<T>,
  label: string,
  act: (path: string, value: T) => void,
): fc.Arbitrary<{ readonly label: string; readonly step: Step }> =>
  fc.tuple(paths, argument).map(([path, value]) => ({
    label: `${label} ${path} ${String(value)}`,
    step: (root) => act(join(root, path), value),
  }));

const pair = (
  label: string,
  act: (from: string, to: string) => void,
): fc.Arbitrary<{ readonly label: string; readonly step: Step }> =>
  fc.tuple(paths, paths).map(([from, to]) => ({
    label: `${label} ${from} ${to}`,
    step: (root) => act(join(root, from), join(root, to)),
  }));

const steps = fc.oneof(
  { weight: 4, arbitrary: pair('rename', renameSync) },
  { weight: 2, arbitrary: pair('link', linkSync) },
  { weight: 3, arbitrary: named(fc.string({ maxLength: 9 }), 'write', (path, text) => writeFileSync(path, text)) },
  { weight: 2, arbitrary: named(fc.constant(''), 'remove', (path) => rmSync(path, { recursive: true })) },
  { weight: 2, arbitrary: named(fc.constant(''), 'mkdir', (path) => mkdirSync(path)) },
  named(fc.integer({ min: 0, max: 0o7777 }), 'chmod', chmodSync),
  named(fc.integer({ min: 0, max: 4_000_000_000 }), 'chown', (path, id) => chownSync(path, id, id)),
  named(fc.integer({ min: 0, max: 20_000 }), 'truncate', truncateSync),
  named(fc.integer({ min: -1000, max: 2 ** 33 }), 'utimes', (path, time) => lutimesSync(path, time, time + 0.25)),
  named(fc.constant('../x'), 'symlink', (path, target) => symlinkSync(target, path)),
  named(fc.constant('p'), 'mknod', (path) => void spawnSync('mknod', [path, 'p'])),
  named(fc.constant('1'), 'setfattr', (path) => void spawnSync('setfattr', ['-n', 'user.note', '-v', '1', path])),
);

function attempt(step: Step, root: string): void {
  try {
    step(root);
  } catch (error) {
    // What cannot be done on this tree is not done.
    if (!(error instanceof Error && 'errno' in error)) throw error;
  }
}

describe.skipIf(missing)(titled('packUpper', missing), () => {
  test('makes a layer that shows the same on the same layers, whatever was done', async () => {
    const lowers = await layers();
    await fc.assert(
      fc.asyncProperty(fc.array(steps, { minLength: 1, maxLength: 12 }), async (list) => {
        const site = new Site(lowers);
        site.change((root) => {
          for (const { step } of list) attempt(step, root);
        });
        expect(await site.repacked(), list.map(({ label }) => label).join('\n')).toEqual(site.merged);
      }),
      { numRuns: Number(process.env['LAMINA_PACK_RUNS'] ?? 12) },
    );
  });

  test('gives a moved directory with all that shows in it, and hides what it replaced', async () => {
    const site = new Site(await layers());
    site.change((root) => {
      renameSync(join(root, 'a'), join(root, 'moved'));
      mkdirSync(join(root, 'new'));
      renameSync(join(root, 'moved/b'), join(root, 'new/b'));
      rmSync(join(root, 'b'), { recursive: true });
      renameSync(join(root, 'c'), join(root, 'b'));
      writeFileSync(join(root, 'new/b/x'), 'changed');
    });
    expect(await site.repacked()).toEqual(site.merged);
  });

  test('gives a metacopy with its data, also where it was moved', async () => {
    const site = new Site(await layers());
    site.change(
      (root) => {
        chmodSync(join(root, 'x'), 0o600);
        chmodSync(join(root, 'c/x/y'), 0o640);
        renameSync(join(root, 'c/x/y'), join(root, 'a/elsewhere'));
        chownSync(join(root, 'a/b/c'), 5, 5);
        renameSync(join(root, 'a/b'), join(root, 'd'));
      },
      ['-o', 'metacopy=on'],
    );
    expect(spawnSync('getfattr', ['-R', '-d', '-m', 'metacopy', join(site.base, 'upper')]).stdout.toString()).toContain(
      'overlay.metacopy',
    );
    expect(await site.repacked()).toEqual(site.merged);
  });

  test('keeps the names of a lower file together that changed under one of them', async () => {
    const site = new Site(await layers());
    site.change((root) => writeFileSync(join(root, 'a/x'), 'changed', { flag: 'a' }));
    expect(site.merged.filter((line) => line.includes('linked with a/x'))).toHaveLength(2);
    expect(await site.repacked()).toEqual(site.merged);
  });

  test('makes an empty archive of an upper in which nothing changed', async () => {
    const site = new Site(await layers());
    run('touch', '-r', site.layers[0] ?? '', join(site.base, 'upper'));
    expect((await site.pack()).equals(Buffer.alloc(1024))).toBe(true);
  });

  test('gives the same bytes for the same changes made twice', async () => {
    const lowers = await layers();
    const archives: Buffer[] = [];
    for (const order of [0, 1]) {
      const site = new Site(lowers);
      site.change((root) => {
        const names = ['q', 'w', 'e', 'r', 't'];
        for (const name of order === 0 ? names : names.toReversed()) writeFileSync(join(root, 'a', name), name);
        renameSync(join(root, 'b'), join(root, 'a/b2'));
        run('find', root, '-exec', 'touch', '-h', '-d', '@5.5', '{}', '+');
      });
      archives.push(await site.pack());
    }
    expect(archives[0]?.equals(archives[1] ?? Buffer.alloc(0))).toBe(true);
  });

  test('hides a name of full length', async () => {
    const name = 'n'.repeat(255);
    const lowers = await unpackStack(tar({ name, data: 'x' }));
    const site = new Site(lowers);
    site.change((root) => rmSync(join(root, name)));
    expect(await site.repacked()).toEqual(site.merged);
    expect(site.merged).toHaveLength(1);
  });

  test('refuses a file that a container named .wh.NAME, and says which', async () => {
    const site = new Site(await layers());
    site.change((root) => writeFileSync(join(root, 'a/.wh.x'), 'mine'));
    await expect(site.pack()).rejects.toThrow('"/a/.wh.x" cannot be in an image\'s layer');
    expect(readFileSync(join(site.base, 'upper/a/.wh.x'), 'utf8')).toBe('mine');
  });
});
