import { type Plan } from './case.ts';
import { type Argument, type Case, type Step, type Who } from './step.ts';

/** A sequence in which the two unions once differed, made as small as can be. */
interface Found {
  readonly what: string;
  readonly plan: Plan;
  readonly one: Case;
}

const O_CREAT = 0o100;

function as(by: Who): (call: string, ...words: readonly Argument[]) => Step {
  return (call, ...words) => ({ by, call, with: words });
}

const root = as('root');
const user = as('user');
const layer = (...plain: readonly Step[]) => ({ plain, overlaid: [] });
const file = (path: string, length: number) => root('put', path, O_CREAT, 0o644, 'x', length);

export const FOUND: readonly Found[] = [
  {
    what: 'a metacopy that overlayfs renamed within its directory is renamed again',
    plan: { variant: 'all', layers: 1, breaks: ['swap', 'remount'] },
    one: {
      layers: [layer(file('g', 5_000), root('mkdir', 'a', 0o755), root('symlink', 'a', 'e'))],
      segments: [[root('rename', 'g', 'a', 2)], [root('rename', 'a', 'e', 2)], []],
    },
  },
  {
    what: 'a metacopy of several names that overlayfs moved is renamed by another of them',
    plan: { variant: 'all', layers: 1, breaks: ['swap', 'remount'] },
    one: {
      layers: [layer(root('mkdir', 'c', 0o755), file('f', 100), root('link', 'f', 'g', 0))],
      segments: [[root('rename', 'f', 'c/d', 0)], [root('rename', 'g', 'f', 0)], []],
    },
  },
  {
    what: 'a metacopy without an origin, of a file of several names, keeps its data',
    plan: { variant: 'without-index', layers: 1, breaks: ['swap'] },
    one: {
      layers: [layer(root('mkdir', 'a', 0o755), file('a/f', 100), root('link', 'a/f', 'a/g', 0))],
      segments: [[root('unlink', 'a/f'), root('chmod', 'a/g', 0o600)], [root('read', 'a/g')]],
    },
  },
  {
    what: 'a directory made over a whiteout stays opaque with userxattr',
    plan: { variant: 'userxattr', layers: 1, breaks: ['swap'] },
    one: {
      layers: [layer(root('mkdir', 'a', 0o755), file('a/f', 1))],
      segments: [[root('unlink', 'a/f'), root('rmdir', 'a'), root('mkdir', 'a', 0o755)], []],
    },
  },
  {
    what: 'without redirects, a lower directory cannot be moved onto one that is not empty',
    plan: { variant: 'without-redirects', layers: 1, breaks: [] },
    one: {
      layers: [layer(root('mkdir', 'a', 0o755), root('mkdir', 'c', 0o755), file('c/f', 1))],
      segments: [[root('rename', 'a', 'c', 0)]],
    },
  },
  {
    what: 'an ordinary user sees no names in trusted',
    plan: { variant: 'all', layers: 1, breaks: [] },
    one: {
      layers: [layer(file('b', 1), root('setxattr', 'b', 'trusted.three', 'x', 1, 0))],
      segments: [[user('listxattr', 'b'), root('listxattr', 'b')]],
    },
  },
  {
    what: 'listing a directory does not change its atime',
    plan: { variant: 'all', layers: 1, breaks: [] },
    one: {
      layers: [layer(root('mkdir', 'd', 0o755))],
      segments: [[root('utimens', 'd', '1000000000.123456789', 'now')]],
    },
  },
  {
    what: 'a directory in which a lower hard link got its upper name shows the inode numbers of origins',
    plan: { variant: 'follow-redirects', layers: 1, breaks: ['swap', 'swap'] },
    one: {
      layers: [
        layer(root('mkdir', 'a', 0o777), root('mkdir', 'c', 0o777), file('a/f', 12), root('link', 'a/f', 'c/g', 0)),
      ],
      segments: [[], [root('write', 'c/g', 'w', 12, 8192), root('rename', 'a/f', 'c', 2)], []],
    },
  },
];
