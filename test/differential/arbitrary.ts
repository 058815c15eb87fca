import fc from 'fast-check';
import { type Argument, type Step, type Who } from './step.ts';

const O_WRONLY = 1;
const O_RDWR = 2;
const O_CREAT = 0o100;
const O_EXCL = 0o200;
const O_TRUNC = 0o1000;
const O_APPEND = 0o2000;
const O_DIRECTORY = process.arch === 'arm64' ? 0o40000 : 0o200000;
const O_NOFOLLOW = process.arch === 'arm64' ? 0o100000 : 0o400000;
const O_TMPFILE = 0o20000000 | O_DIRECTORY;
const SYMLINK_FOLLOW = 0x400;
const S_IFIFO = 0o010000;
const S_IFCHR = 0o020000;
const S_IFREG = 0o100000;
const S_IFSOCK = 0o140000;
const SLOTS = 3;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;

// Few names, so that operations meet; files of the layers beneath are among them. One is not UTF-8, one has all 255 bytes.
const name = fc.oneof(
  { weight: 60, arbitrary: fc.constantFrom('a', 'b', 'c', 'd', 'e') },
  { weight: 1, arbitrary: fc.constantFrom('\xff\xfe', 'n'.repeat(255)) },
);
const slot = fc.integer({ min: 0, max: SLOTS - 1 });
const plainPath = fc
  .oneof(
    { weight: 8, arbitrary: fc.array(name, { minLength: 1, maxLength: 1 }) },
    { weight: 5, arbitrary: fc.tuple(fc.constantFrom('a', 'c', 'd'), name) },
    { weight: 1, arbitrary: fc.array(name, { minLength: 3, maxLength: 4 }) },
  )
  .map((parts) => parts.join('/'));
const path = fc.oneof(
  { weight: 40, arbitrary: plainPath },
  // Relative to a directory that may be gone by now.
  { weight: 2, arbitrary: fc.tuple(slot, name).map(([index, entry]) => `@${index}/${entry}`) },
  { weight: 1, arbitrary: fc.tuple(plainPath, fc.constantFrom('/', '/.', '/..')).map((parts) => parts.join('')) },
  { weight: 1, arbitrary: fc.constant('') },
);
// Names that are mostly files, so that their content is worked on.
const filePath = fc.oneof(
  { weight: 2, arbitrary: path },
  { weight: 3, arbitrary: fc.constantFrom('f', 'g', 'a/f', 'c/g', 'a/b/c', 'a/b/d', 'b') },
);
const directoryPath = fc.oneof(
  { weight: 1, arbitrary: path },
  { weight: 3, arbitrary: fc.constantFrom('', 'a', 'c', 'a/b', 'b', 'd') },
);
const letter = fc.constantFrom('w', 'x', 'y', 'z');
const length = fc.constantFrom(0, 1, 12, 100, 4_096, 5_000, 9_000);
const size = fc.constantFrom(0, 1, 7, 4_096, 8_192, 10_000, 20_000);
const mode = fc.constantFrom(0o600, 0o644, 0o664, 0o755, 0o777, 0o4755, 0o2755, 0o6777, 0o1777, 0o2775, 0o000, 0o2770);
// Not -1 for both: FUSE does not tell its server of it, which clears setuid elsewhere.
const ids = fc
  .tuple(fc.constantFrom(-1, 0, 7, 1000, 1001), fc.constantFrom(-1, 0, 7, 1000, 1001))
  .filter(([uid, gid]) => uid !== -1 || gid !== -1);
const time = fc.constantFrom('-5.0', '1000000000.123456789', '5000000000.7', '0.1', 'now', 'omit');
const xattr = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom('user.one', 'user.two') },
  { weight: 1, arbitrary: fc.constantFrom('trusted.three', 'security.four', 'unknown.five', 'user.') },
);
const aclKind = fc.constantFrom('access', 'access', 'default');
const aclName = aclKind.map((kind) => `system.posix_acl_${kind}`);
const aclSpec = fc.constantFrom(
  'owner:7,group:5,others:5',
  'owner:6,group:4,others:0',
  'owner:7,user:7:1000,group:5,mask:7,others:0',
  'owner:7,user:0:1000,user:7:1001,group:7,mask:5,others:5',
  'owner:7,group:7,named:6:1000,mask:6,others:0',
  'owner:7,user:7:1000,group:5,others:0',
);
// Of getdents(2): room for the longest name.
const capacity = fc.constantFrom(280, 320);
// None leads out of the site.
const target = fc.constantFrom('a', 'b/c', 'a/../f', 'nowhere', 'e', '.', 'd');

function step(call: string, ...parameters: readonly fc.Arbitrary<Argument>[]): fc.Arbitrary<Omit<Step, 'by'>> {
  return fc.tuple(...parameters).map((words) => ({ call, with: words }));
}

function withIds(call: string, what: fc.Arbitrary<Argument>): fc.Arbitrary<Omit<Step, 'by'>> {
  return fc.tuple(what, ids).map(([first, [uid, gid]]) => ({ call, with: [first, uid, gid] }));
}

const constant = fc.constant<Argument>;

const making = fc.oneof(
  {
    weight: 4,
    arbitrary: step(
      'put',
      filePath,
      fc.constantFrom(O_CREAT, O_CREAT | O_EXCL, O_CREAT | O_TRUNC, O_TRUNC, O_APPEND, O_CREAT | O_NOFOLLOW),
      mode,
      letter,
      length,
    ),
  },
  { weight: 4, arbitrary: step('mkdir', path, mode) },
  { weight: 2, arbitrary: step('symlink', target, path) },
  { weight: 4, arbitrary: step('link', filePath, filePath, fc.constantFrom(0, 0, SYMLINK_FOLLOW)) },
  { weight: 2, arbitrary: step('tmpfile', directoryPath, filePath, letter, length, mode) },
  { weight: 2, arbitrary: step('linkHeld', slot, filePath) },
  {
    weight: 1,
    arbitrary: step(
      'mknod',
      path,
      fc.constantFrom(S_IFIFO | 0o644, S_IFREG | 0o600, S_IFSOCK | 0o777, S_IFCHR | 0o600),
      fc.constantFrom(0, 0x705),
    ),
  },
);

const removing = fc.oneof(
  { weight: 3, arbitrary: step('unlink', filePath) },
  { weight: 2, arbitrary: step('rmdir', directoryPath) },
  { weight: 4, arbitrary: step('rename', filePath, filePath, fc.constantFrom(0, 0, 0, 1, 2, 2, 4)) },
  { weight: 3, arbitrary: step('rename', directoryPath, path, fc.constantFrom(0, 0, 0, 1, 2, 2)) },
);

// FUSE passes no others on: neither COLLAPSE_RANGE (8) nor INSERT_RANGE (0x20).
const fallocateMode = fc.constantFrom(0, 1, 3, 0x10, 0x11, 2);

const changing = fc.oneof(
  { weight: 3, arbitrary: step('write', filePath, letter, length, size) },
  { weight: 1, arbitrary: step('fallocate', filePath, fallocateMode, size, fc.constantFrom(3_000, 4_096)) },
  { weight: 2, arbitrary: step('copyRange', filePath, filePath, size) },
  { weight: 2, arbitrary: step('truncate', filePath, size) },
  { weight: 3, arbitrary: step('chmod', path, mode) },
  { weight: 3, arbitrary: withIds('chown', path) },
  { weight: 2, arbitrary: step('utimens', path, time, time) },
  {
    weight: 2,
    arbitrary: step('setxattr', path, xattr, letter, fc.constantFrom(0, 1, 100, 3_000), fc.constantFrom(0, 0, 1, 2)),
  },
  { weight: 2, arbitrary: step('removexattr', path, fc.oneof(xattr, aclName)) },
  { weight: 2, arbitrary: step('setacl', path, aclKind, aclSpec) },
  { weight: 1, arbitrary: step('umask', fc.constantFrom(0o022, 0o022, 0, 0o077)) },
);

const looking = fc.oneof(
  { weight: 2, arbitrary: step('names', directoryPath) },
  { weight: 3, arbitrary: step('stat', path) },
  { weight: 3, arbitrary: step('read', filePath) },
  { weight: 1, arbitrary: step('readMapped', filePath, size, fc.constantFrom(0, 1)) },
  { weight: 1, arbitrary: step('readlink', path) },
  { weight: 1, arbitrary: step('listxattr', path) },
  { weight: 1, arbitrary: step('getxattr', path, fc.oneof(xattr, aclName), fc.constantFrom(0, 10, 4_096)) },
  { weight: 1, arbitrary: step('access', path, fc.integer({ min: 0, max: 7 })) },
  { weight: 1, arbitrary: step('seek', filePath, size, fc.constantFrom(2, SEEK_DATA, SEEK_HOLE)) },
  { weight: 1, arbitrary: step('seekdir', directoryPath, capacity) },
  { weight: 1, arbitrary: step('forget', filePath) },
);

const holdFlags = fc.constantFrom(0, O_RDWR, O_RDWR, O_RDWR | O_CREAT, O_WRONLY | O_APPEND, O_RDWR | O_TRUNC);

const holding = fc.oneof(
  { weight: 4, arbitrary: step('hold', slot, filePath, holdFlags, mode) },
  { weight: 2, arbitrary: step('hold', slot, directoryPath, constant(O_DIRECTORY), constant(0)) },
  { weight: 1, arbitrary: step('hold', slot, directoryPath, constant(O_TMPFILE | O_RDWR), mode) },
  { weight: 2, arbitrary: step('heldRead', slot) },
  { weight: 1, arbitrary: step('heldReadOn', slot, size) },
  { weight: 3, arbitrary: step('heldWrite', slot, letter, length, size) },
  { weight: 1, arbitrary: step('heldWriteOn', slot, letter, length) },
  { weight: 1, arbitrary: step('heldTruncate', slot, size) },
  { weight: 1, arbitrary: step('heldFallocate', slot, fallocateMode, size, fc.constantFrom(3_000, 4_096)) },
  { weight: 2, arbitrary: step('heldStat', slot) },
  { weight: 1, arbitrary: step('heldChmod', slot, mode) },
  { weight: 1, arbitrary: withIds('heldChown', slot) },
  { weight: 1, arbitrary: step('heldUtimens', slot, time, time) },
  { weight: 1, arbitrary: step('heldSetxattr', slot, xattr, letter, fc.constantFrom(0, 1, 100)) },
  { weight: 1, arbitrary: step('heldGetxattr', slot, xattr) },
  { weight: 1, arbitrary: step('heldRemovexattr', slot, xattr) },
  { weight: 1, arbitrary: step('heldSeek', slot, size, fc.constantFrom(0, 2, SEEK_DATA, SEEK_HOLE)) },
  { weight: 1, arbitrary: step('heldSync', slot) },
  { weight: 1, arbitrary: step('heldNames', slot) },
  { weight: 1, arbitrary: step('map', slot, fc.constantFrom(4_096, 16_384)) },
  { weight: 1, arbitrary: step('mapRead', slot, fc.constantFrom(0, 4_000), fc.constantFrom(10, 9_000)) },
  {
    weight: 1,
    arbitrary: step('mapWrite', slot, letter, fc.constantFrom(1, 200, 6_000), fc.constantFrom(0, 10, 4_000)),
  },
  { weight: 1, arbitrary: step('mapSync', slot) },
  { weight: 1, arbitrary: step('unmap', slot) },
  { weight: 4, arbitrary: step('heldClose', slot) },
);

function by(who: fc.Arbitrary<Who>, what: fc.Arbitrary<Omit<Step, 'by'>>): fc.Arbitrary<Step> {
  return fc.tuple(who, what).map(([user, rest]) => ({ by: user, ...rest }));
}

const someone = fc.constantFrom<Who>('root', 'root', 'root', 'user', 'other');

/** Names in one directory that come and go while it is read. */
const scanning = directoryPath.chain((directory) => {
  const inside = name.map((entry) => (directory === '' ? entry : `${directory}/${entry}`));
  const change = fc.oneof(
    step('put', inside, constant(O_CREAT), constant(0o644), constant('x'), constant(1)),
    step('mkdir', inside, constant(0o755)),
    step('unlink', inside),
    step('rmdir', inside),
    step('rename', inside, inside, fc.constantFrom(0, 2)),
  );
  const between = fc.array(by(fc.constant<Who>('root'), change), { minLength: 1, maxLength: 4 });
  return step('scan', constant(directory), capacity, fc.constantFrom(1, 2), between);
});

/** Any operation; those that change names come more often than those that look. */
export const anyStep: fc.Arbitrary<Step> = by(
  someone,
  fc.oneof(
    { weight: 40, arbitrary: making },
    { weight: 40, arbitrary: removing },
    { weight: 30, arbitrary: changing },
    { weight: 30, arbitrary: looking },
    { weight: 40, arbitrary: holding },
    { weight: 2, arbitrary: scanning },
  ),
);

const rootStep = (what: fc.Arbitrary<Omit<Step, 'by'>>): fc.Arbitrary<Step> => by(fc.constant<Who>('root'), what);
const layerPath = fc.oneof(
  { weight: 2, arbitrary: fc.array(name, { minLength: 1, maxLength: 3 }).map((parts) => parts.join('/')) },
  { weight: 2, arbitrary: fc.constantFrom('f', 'g', 'a', 'c', 'a/f', 'c/g', 'a/b', 'a/b/c', 'a/b/d', 'b', 'd') },
);

/**
 * What a layer is made of, past any union: files of all types, and marks. Redirects and metacopies come of what is done
 * through overlayfs: at random they would lead to one file in two places, which no union promises anything of.
 */
const plainLayerStep: fc.Arbitrary<Step> = rootStep(
  fc.oneof(
    { weight: 8, arbitrary: step('put', layerPath, constant(O_CREAT | O_EXCL), mode, letter, length) },
    { weight: 10, arbitrary: step('mkdir', layerPath, mode) },
    { weight: 3, arbitrary: step('symlink', target, layerPath) },
    { weight: 3, arbitrary: step('link', layerPath, layerPath, constant(0)) },
    { weight: 3, arbitrary: step('mknod', layerPath, constant(S_IFCHR), constant(0)) },
    {
      weight: 2,
      arbitrary: step(
        'mknod',
        layerPath,
        fc.constantFrom(S_IFIFO | 0o644, S_IFSOCK | 0o755, S_IFCHR | 0o644),
        constant(0x705),
      ),
    },
    { weight: 3, arbitrary: step('chmod', layerPath, mode) },
    { weight: 3, arbitrary: withIds('chown', layerPath) },
    { weight: 2, arbitrary: step('utimens', layerPath, time, time) },
    { weight: 2, arbitrary: step('setxattr', layerPath, xattr, letter, fc.constantFrom(0, 1, 100), constant(0)) },
    { weight: 2, arbitrary: step('setacl', layerPath, aclKind, aclSpec) },
    { weight: 1, arbitrary: step('truncate', layerPath, size) },
    { weight: 1, arbitrary: step('write', layerPath, letter, length, size) },
    { weight: 3, arbitrary: step('markOpaque', layerPath, fc.constantFrom('y', 'y', 'x')) },
  ),
);

/** Files that the names of `anyStep` often meet. */
export const SKELETON: readonly Step[] = (
  [
    ['mkdir', 'a', 0o777],
    ['mkdir', 'c', 0o1777],
    ['mkdir', 'd', 0o755],
    ['mkdir', 'a/b', 0o775],
    ['mkdir', 'a/d', 0o2777],
    ['put', 'f', O_CREAT, 0o666, 'f', 100],
    ['put', 'b', O_CREAT, 0o4755, 'b', 5_000],
    ['put', 'a/f', O_CREAT, 0o644, 'a', 12],
    ['put', 'a/b/c', O_CREAT, 0o600, 'c', 9_000],
    ['put', 'a/b/d', O_CREAT, 0o664, 'd', 0],
    ['link', 'f', 'g', 0],
    ['link', 'b', 'a/g', 0],
    ['link', 'a/f', 'c/g', 0],
    ['symlink', 'a', 'e'],
  ] satisfies readonly (readonly [string, ...Argument[]])[]
).map(([call, ...words]) => ({ by: 'root', call, with: words }));

/** What a layer is made of. */
export const plainLayer: fc.Arbitrary<Step[]> = fc
  .tuple(
    fc.subarray([...SKELETON], { minLength: 3 }),
    fc.array(plainLayerStep, { minLength: 2, maxLength: 25, size: 'max' }),
    // At the end: nothing is to be written into them.
    fc.array(rootStep(step('xattrWhiteout', name)), { maxLength: 2 }),
  )
  .map((parts) => parts.flat());
