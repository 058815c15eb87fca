import { readSync } from 'node:fs';
import { Attr } from '../../fs/sys/attr.ts';
import { type ByteString, toText } from '../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } from '../../fs/sys/constants.ts';
import { check } from '../../fs/sys/errno.ts';
import { close, openat, statat } from '../../fs/sys/file.ts';
import { SELF } from '../../fs/sys/xattr.ts';
import { describeFile, type FileDescription } from '../image/layer-file.ts';
import { type SourceFile } from '../image/pack.ts';
import { Warnings } from '../image/warnings.ts';
import { type Change } from './diff.ts';
import { DirectoryStack, type Found } from './layer-view.ts';

/**
 * What one merged tree has otherwise than another, in the order of paths and in docker's terms: directories on the way to
 * a change are changed, what is in one that is gone is not told. Times of directories do not matter, those of files do.
 *
 * @param from layers, absolute paths, the topmost first.
 * @param to likewise.
 */
export function diffTrees(from: readonly ByteString[], to: readonly ByteString[]): Change[] {
  const before = DirectoryStack.open(from, true);
  const after = DirectoryStack.open(to, true);
  try {
    return changesIn('', before, after);
  } finally {
    before.close();
    after.close();
  }
}

/** Changes below a directory that both have, or that is new. */
function changesIn(path: ByteString, before: DirectoryStack | undefined, after: DirectoryStack): Change[] {
  if (before?.isSame(after) === true) return [];
  const names = new Set([...(before?.names() ?? []), ...after.names()]);
  return [...names].sort().flatMap((name) => {
    const was: Found = before?.find(name) ?? { kind: 'absent' };
    const is = after.find(name);
    try {
      return changesOf(`${path}/${name}`, was, is);
    } finally {
      for (const found of [was, is]) if (found.kind === 'directory') found.stack.close();
    }
  });
}

function changesOf(path: ByteString, was: Found, is: Found): Change[] {
  if (is.kind === 'absent') return was.kind === 'absent' ? [] : [{ kind: 'D', path }];
  const inside = is.kind === 'directory' ? changesIn(path, stackOf(was), is.stack) : [];
  if (was.kind === 'absent') return [{ kind: 'A', path }, ...inside];
  if (inside.length === 0 && looksSame(path, was, is)) return [];
  return [{ kind: 'C', path }, ...inside];
}

function stackOf(found: Found): DirectoryStack | undefined {
  return found.kind === 'directory' ? found.stack : undefined;
}

type Present = Exclude<Found, { readonly kind: 'absent' }>;

function looksSame(path: ByteString, was: Present, is: Present): boolean {
  const [one, other] = [sourceOf(was), sourceOf(is)];
  if (one === undefined || other === undefined || isOneFile(one, other))
    return one !== undefined && other !== undefined;
  const [before, after] = [one, other].map((source) =>
    describeFile(source.dirfd, source.name, source.records, path, new Warnings()),
  );
  if (before === undefined || after === undefined || keyOf(before) !== keyOf(after)) return false;
  return before.type !== 'file' || hasSameContent(path, one, other);
}

function sourceOf(found: Present): SourceFile | undefined {
  return found.kind === 'directory' ? found.stack.top : found.source;
}

const attr = new Attr();

/** A file of a layer that both trees have. */
function isOneFile(one: SourceFile, other: SourceFile): boolean {
  const [key, otherKey] = [one, other].map(({ dirfd, name }) =>
    statat(dirfd, name === SELF ? '.' : name, attr) === 0 ? `${attr.dev}:${attr.ino}` : undefined,
  );
  return key !== undefined && key === otherKey && one.records === other.records;
}

/** All that matters of a file but its content. */
function keyOf({ type, mode, uid, gid, size, mtime, major, minor, target, xattrs }: FileDescription): string {
  const times = type === 'directory' ? [] : [mtime.seconds, mtime.nanoseconds];
  return JSON.stringify([type, mode, uid, gid, size, ...times, major, minor, target, [...xattrs].sort()]);
}

const PIECE = 1 << 20;

/** Whoever builds an image anew may give every file the same time. */
function hasSameContent(path: ByteString, one: SourceFile, other: SourceFile): boolean {
  const fds: number[] = [];
  try {
    for (const { dirfd, name } of [one, other]) {
      const flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
      fds.push(check(openat(dirfd, name, flags), `read ${toText(path)}`));
    }
    return haveSameBytes(fds[0] ?? -1, fds[1] ?? -1);
  } finally {
    fds.forEach(close);
  }
}

function haveSameBytes(one: number, other: number): boolean {
  const [left, right] = [Buffer.allocUnsafe(PIECE), Buffer.allocUnsafe(PIECE)];
  for (let at = 0; ;) {
    const length = readSync(one, left, 0, PIECE, at);
    if (readSync(other, right, 0, PIECE, at) !== length) return false;
    if (length === 0) return true;
    if (!left.subarray(0, length).equals(right.subarray(0, length))) return false;
    at += length;
  }
}
