import fc from 'fast-check';
import { describe, expect, test } from 'vitest';

import { isRoot, titled } from '../support/requirements.ts';
import { type ArchiveEntry, tar } from './archives.ts';
import { snapshot, Target } from './ground.ts';

// What must not happen is the same for all of these: nothing beside the target changes, and the archive is refused
// with a message that names the entry.

const symlink = (name: string, linkname: string): ArchiveEntry => ({ name, type: '2', linkname });
const hardlink = (name: string, linkname: string): ArchiveEntry => ({ name, type: '1', linkname });
const directory = (name: string): ArchiveEntry => ({ name, type: '5' });
const xattr = (name: string): ArchiveEntry => ({ name: 'f', pax: { [`SCHILY.xattr.${name}`]: 'y' } });

const CORPUS: readonly (readonly [string, readonly ArchiveEntry[], RegExp])[] = [
  ['a name with ..', [{ name: '../canary' }], /entry "..\/canary": its name climbs/],
  ['a name with .. inside', [{ name: 'a/../../outside/canary' }], /climbs/],
  ['a name that ends in ..', [directory('a/..')], /climbs/],
  ['a PAX path with ..', [{ name: 'fine', pax: { path: '../canary' } }], /entry "..\/canary": its name climbs/],
  ['a prefix with ..', [{ name: 'canary', spoil: (header) => header.write('..', 345) }], /climbs/],
  [
    'a symlink then a file through it',
    [symlink('x', '../outside'), { name: 'x/canary', data: '!' }],
    /through the symlink "x"/,
  ],
  ['a symlink then a directory through it', [symlink('x', '../outside'), directory('x/new')], /through the symlink/],
  ['an absolute symlink then a file', [symlink('x', '/tmp'), { name: 'x/lamina-canary' }], /through the symlink/],
  ['a symlink to itself', [symlink('x', 'x'), { name: 'x/y' }], /through the symlink/],
  ['a chain of symlinks', [symlink('a', 'b'), symlink('b', '../outside'), { name: 'a/canary' }], /through the symlink/],
  ['a symlink deep down', [symlink('d/x', '../../outside'), { name: 'd/x/y/z' }], /through the symlink "d\/x"/],
  [
    'a directory replaced by a symlink',
    [directory('d'), symlink('d', '../outside'), { name: 'd/canary' }],
    /through the symlink/,
  ],
  ['a hard link with ..', [hardlink('x', '../canary')], /climbs/],
  ['a hard link through a symlink', [symlink('s', '../outside'), hardlink('x', 's/canary')], /through the symlink "s"/],
  ['a PAX hard link with ..', [{ ...hardlink('x', 'f'), pax: { linkpath: '../canary' } }], /climbs/],
  ['a hard link out of the layer', [hardlink('x', '/etc/passwd')], /which is not in the layer|open directory/],
  ['a hard link to itself', [{ name: 'x' }, hardlink('x', './x')], /hard link to/],
  ['a hard link to the root', [hardlink('x', '/')], /hard link to/],
  ['a hard link to a directory', [directory('d'), hardlink('x', 'd')], /link it to "d"/],
  ['a file as the root', [{ name: './', type: '0', data: 'x' }], /ambiguous|root/],
  ['a symlink as the root', [symlink('.', '../outside')], /replace the root/],
  ['a file below a file', [{ name: 'f' }, { name: 'f/g' }], /goes through "f", which is no directory/],
  ['a whiteout of nothing', [{ name: '.wh.' }], /whiteout of ""/],
  ['a whiteout of .', [{ name: 'd/.wh..' }], /whiteout of "."/],
  ['a whiteout of ..', [{ name: '.wh...' }], /whiteout of ".."/],
  ['a file in a whiteout', [{ name: '.wh.x/y' }], /lies in a whiteout/],
  ['an opaque xattr', [xattr('trusted.overlay.opaque')], /would steer the union/],
  ['a redirect xattr', [xattr('trusted.overlay.redirect')], /would steer the union/],
  ['a user overlay xattr', [xattr('user.overlay.opaque')], /would steer the union/],
  ["fuse-overlayfs's xattr", [xattr('user.fuseoverlayfs.opaque')], /would steer the union/],
  ['an owner in an xattr', [xattr('user.containers.override_stat')], /would steer the union/],
  // One level of escaping less, and a union in a union takes it for its own.
  ['an escaped overlay xattr', [xattr('trusted.overlay.overlay.opaque')], /would steer the union/],
  ['an escaped user overlay xattr', [xattr('user.overlay.overlay.redirect')], /would steer the union/],
  // It would make a whiteout of AUFS's form a user's own file.
  ['the mark of a name that is plain', [xattr('user.overlay.plain')], /would steer the union/],
  ['the same of root', [xattr('trusted.overlay.plain')], /would steer the union/],
  ['a whiteout xattr', [xattr('trusted.overlay.whiteout')], /would steer the union/],
  ['a metacopy xattr', [xattr('user.overlay.metacopy')], /would steer the union/],
  ["an owner in fuse-overlayfs's xattr", [xattr('user.fuseoverlayfs.override_stat')], /would steer the union/],
  ["an owner in fuse-overlayfs's privileged xattr", [xattr('security.fuseoverlayfs.override_stat')], /steer the union/],
  ['an ACL kept aside', [xattr('user.containers.override_system.posix_acl_access')], /would steer the union/],
  [
    'a reserved xattr of a directory, and of a symlink',
    [{ ...symlink('x', 'y'), pax: { 'SCHILY.xattr.trusted.overlay.opaque': 'y' } }],
    /would steer the union/,
  ],
  ['an xattr with a NUL in its name', [xattr('user.a\0b')], /name is not valid/],
  ['an xattr with a name over 255 bytes', [xattr(`user.${'a'.repeat(300)}`)], /name is not valid/],
  ['an ACL that is none', [{ name: 'f', pax: { 'SCHILY.acl.access': 'user::rwx,evil' } }], /ACL that is malformed/],
  ['an ACL of an id beyond all', [{ name: 'f', pax: { 'SCHILY.acl.access': 'user:4294967295:rwx' } }], /out of range/],
  ['a binary ACL that is none', [xattr('system.posix_acl_access')], /set extended attribute system.posix_acl_access/],
  [
    'a device whose numbers are blank',
    [{ name: 'x', type: '3', spoil: (header) => void header.fill(0, 329, 345) }],
    /character device 0:0/,
  ],
  ['a device with a number beyond all', [{ name: 'x', type: '3', major: 4096, minor: 1 }], /major is out of range/],
  ['a hard link to a hard link that climbs', [hardlink('x', 'a/../../canary')], /climbs/],
  ['a hard link to what a later entry makes', [hardlink('x', 'later'), { name: 'later' }], /not in the layer/],
  [
    'a hard link into what it replaces',
    [directory('d'), { name: 'd/f' }, hardlink('d', 'd/f')],
    /not in the layer|open/,
  ],
  ['a hard link to a NUL', [{ ...hardlink('x', 'y'), pax: { linkpath: 'y\0z' } }], /NUL/],
  ['a symlink target over 4095 bytes', [{ ...symlink('x', 'y'), pax: { linkpath: 'l'.repeat(4096) } }], /too long/],
  [
    'a symlink in the place of a directory with files',
    [directory('d'), { name: 'd/f' }, symlink('d', '/tmp'), { name: 'd/f' }],
    /through the symlink "d"/,
  ],
  ['a device 0:0', [{ name: 'x', type: '3' }], /character device 0:0/],
  ['a NUL in a PAX name', [{ name: 'x', pax: { path: 'a\0b' } }], /NUL/],
  ['a NUL in a symlink', [{ ...symlink('x', 'y'), pax: { linkpath: 'a\0b' } }], /NUL/],
  ['a component over 255 bytes', [{ name: 'n'.repeat(256) }], /longer than 255/],
  ['a path over 4095 bytes', [{ name: `${'d'.repeat(200)}/`.repeat(21) + 'f' }], /longer than 4095/],
  ['a path too deep', [{ name: `${'d/'.repeat(300)}f` }], /its depth is over the limit of 256/],
  ['a symlink without a target', [symlink('x', '')], /target is empty/],
  ['an xattr without a name', [xattr('')], /name is not valid/],
  ['an xattr over 64 KiB', [{ name: 'f', pax: { 'SCHILY.xattr.user.big': 'x'.repeat(65537) } }], /over 64 KiB/],
];

describe.skipIf(isRoot())(titled('unpackLayer refuses', isRoot()), () => {
  test.each(CORPUS)('%s', async (_, entries, message) => {
    const target = new Target();
    await expect(target.unpack(tar(...entries))).rejects.toThrow(message);
    expect(target.outside()).toEqual(target.untouched);
  });

  test('whiteouts through a symlink change nothing outside', async () => {
    const lower = new Target();
    await lower.unpack(tar({ name: 'x/canary' }));
    const target = new Target();
    await target.unpack(tar(symlink('x', '../outside'), { name: 'x/.wh.canary' }, { name: 'x/.wh..wh..opq' }), [
      lower.path,
    ]);
    expect(target.outside()).toEqual(target.untouched);
    expect(snapshot(target.path, false).slice(1)).toEqual(['x 120777 0:0 -> ../outside']);
  });

  // Through the hard link of a symlink an unpacker that opens what is there writes to the symlink's target.
  test('to write through a hard link to a symlink: the file takes its place', async () => {
    const target = new Target();
    const entries = [
      symlink('s', '../outside/canary'),
      hardlink('h', 's'),
      { name: 'h', data: '!' },
      { name: 's', data: '!' },
    ];
    await target.unpack(tar(...entries));
    expect(target.outside()).toEqual(target.untouched);
    expect(snapshot(target.path, false).map((line) => line.split(' ').slice(0, 2).join(' '))).toEqual([
      '. 40755',
      'h 100644',
      's 100644',
    ]);
  });

  // A file would be found by the union, which reads whiteouts in this form, too.
  test('to make a file of a whiteout’s name, whatever its type', async () => {
    const target = new Target();
    const types = ['0', '1', '2', '3', '4', '5', '6'];
    const marks = types.flatMap((type) => [
      { name: `.wh.name${type}`, type, linkname: 'f', data: type === '0' ? 'content' : '', major: 1 },
      { name: 'd/.wh..wh..opq', type, linkname: 'f', major: 1 },
      { name: `.wh..wh.other${type}`, type, linkname: 'f', major: 1 },
    ]);
    await target.unpack(tar({ name: 'f' }, directory('d'), ...marks));
    expect(snapshot(target.path, false).map((line) => line.split(' ')[0])).toEqual(['.', 'd', 'f']);
  });

  test('labels of another machine, and records that are none of its own, and takes the file without', async () => {
    const target = new Target();
    const pax = {
      'SCHILY.xattr.security.selinux': 'system_u:object_r:shadow_t:s0',
      'SCHILY.xattr.security.ima': 'x',
      'SCHILY.xattr.user.rootlesscontainers': '\x08\xe8\x07',
      'LIBARCHIVE.xattr.trusted.overlay.opaque': 'eQ',
      'RHT.security.selinux': 'x',
      'SCHILY.devmajor': '0',
      'SCHILY.filetype': 'sparse',
      'SCHILY.ino': '1',
    };
    await target.unpack(tar({ name: 'f', uid: 7, gid: 8, data: 'x', pax }));
    const [, line] = snapshot(target.path, false);
    expect(line).toMatch(/^f 100644 7:8 1 [0-9a-f]{64} user\.rootlesscontainers=08e807$/);
    expect(target.warnings.lines()).toEqual([
      'label of the machine that made the archive is left out: security.selinux and 1 more',
    ]);
  });

  test('a layer over its size, before it is written', async () => {
    const target = new Target();
    const archive = tar({ name: 'a', data: 'x'.repeat(600) }, { name: 'b', data: 'x'.repeat(600) });
    await expect(target.unpack(archive, [], { layerBytes: 1000 })).rejects.toThrow(
      /size of the layer is over the limit of 1000/,
    );
    expect(snapshot(target.path, false).map((line) => line.split(' ')[0])).toEqual(['.', 'a']);
  });

  test('more whiteouts than may be remembered', async () => {
    const archive = tar(...Array.from({ length: 100 }, (_, at) => ({ name: `.wh.${at}` })));
    await expect(new Target().unpack(archive, [], { retainedBytes: 1000 })).rejects.toThrow(
      /remembered .* over the limit of 1000/,
    );
  });
});

describe.skipIf(isRoot())(titled('unpackLayer on any archive', isRoot()), () => {
  // Few names, so that they meet; climbing ones are rare, since one of them ends the unpacking.
  const component = fc.oneof(
    { weight: 30, arbitrary: fc.constantFrom('a', 'b', 'canary') },
    { weight: 4, arbitrary: fc.constantFrom('.', '', '\xff', '.wh.a', '.wh..wh..opq') },
    { weight: 1, arbitrary: fc.constant('..') },
  );
  const path = fc.array(component, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/'));
  const linkname = fc.oneof(path, fc.constantFrom('../outside', '../../outside', '..', '../canary', '/tmp'));
  const entry: fc.Arbitrary<ArchiveEntry> = fc.record({
    name: path,
    type: fc.constantFrom('0', '0', '1', '2', '2', '3', '5', '5', '6'),
    linkname,
    mode: fc.constantFrom(0, 0o644, 0o755, 0o7777),
    major: fc.constantFrom(0, 1),
  });

  test('leaves all outside as it is, and inside only what the archive names', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { maxLength: 12 }), async (entries) => {
        const target = new Target();
        const refused = await target.unpack(tar(...entries)).then(
          () => false,
          () => true,
        );
        expect(target.outside()).toEqual(target.untouched);
        const model = new Model(entries);
        const found = snapshot(target.path, false)
          .slice(1)
          .map((line) => line.split(' ')[0] ?? '');
        for (const name of found) expect(model.allowed).toContain(name);
        if (!refused) expect(new Set(found)).toEqual(model.present());
      }),
      { numRuns: 300 },
    );
  });
});

describe.skipIf(isRoot())(titled('unpackLayer on damaged headers', isRoot()), () => {
  const change = fc.record({ at: fc.integer({ min: 0, max: 511 }), byte: fc.integer({ min: 0, max: 255 }) });
  const entry = fc
    .record({
      name: fc.constantFrom('a', 'b/c', 'd/'),
      type: fc.constantFrom('0', '1', '2', '5', 'x', 'L', 'g'),
      data: fc.constantFrom('', '', 'x', 'x'.repeat(512), '12 path=abc\n'),
      changes: fc.array(change, { maxLength: 3 }),
    })
    .map(({ changes, ...rest }) => ({
      ...rest,
      linkname: 'a',
      // The checksum is made after these: the header is odd, but vouched for.
      spoil: (header: Buffer): void => {
        for (const { at, byte } of changes) header.writeUInt8(byte, at);
      },
    }));

  test('ends, and leaves all outside as it is', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(entry, { minLength: 1, maxLength: 6 }), fc.nat({ max: 600 }), async (entries, cut) => {
        const target = new Target();
        const bytes = tar(...entries);
        await target.unpack(bytes.subarray(0, bytes.length - cut)).catch((error: unknown) => {
          expect(error).toBeInstanceOf(Error);
          expect((error as Error).message).not.toMatch(/undefined|TypeError|RangeError/);
        });
        expect(target.outside()).toEqual(target.untouched);
      }),
      { numRuns: 300 },
    );
  });
});

/** What an archive may leave on disk, told from names alone. */
class Model {
  /** Every path that an entry names, and the directories above it. */
  readonly allowed = new Set<string>();
  readonly #entries: readonly ArchiveEntry[];

  constructor(entries: readonly ArchiveEntry[]) {
    this.#entries = entries;
    for (const { name } of entries) for (const above of upwards(clean(name))) this.allowed.add(above);
  }

  /** What must be there when nothing was refused: the last entry of each name and what is below it since. */
  present(): Set<string> {
    const there = new Map<string, boolean>();
    for (const { name, type } of this.#entries) {
      const path = clean(name);
      if (path === '' || path.split('/').some((part) => part.startsWith('.wh.'))) continue;
      const isDirectory = type === '5' || (type === '0' && name.endsWith('/'));
      if (!(isDirectory && there.get(path) === true)) {
        for (const other of there.keys()) if (other.startsWith(`${path}/`)) there.delete(other);
      }
      for (const above of upwards(path)) if (above !== path) there.set(above, true);
      there.set(path, isDirectory);
    }
    return new Set(there.keys());
  }
}

function clean(name: string): string {
  return name
    .split('/')
    .filter((part) => part !== '' && part !== '.')
    .join('/');
}

function upwards(path: string): string[] {
  const parts = path.split('/').filter((part) => part !== '');
  return parts.map((_, at) => parts.slice(0, at + 1).join('/'));
}
