import { readFileSync } from 'node:fs';
import type { ByteString } from './text.ts';

/** A line of /proc/self/mountinfo. */
export interface MountInfo {
  readonly id: number;
  /** `major:minor` of the filesystem. */
  readonly device: string;
  /** What of the filesystem is mounted; for a cgroup, as the reader's cgroup namespace shows it. */
  readonly root: ByteString;
  readonly mountpoint: ByteString;
  /** Others are told of what is mounted below it. */
  readonly isShared: boolean;
  /** Type with subtype: `fuse.lamina`. */
  readonly type: string;
  readonly source: ByteString;
  /** Options of the filesystem, each with its value. */
  readonly options: readonly ByteString[];
}

/** Space, tab, newline and backslash are written in octal. */
function unescape(text: ByteString): ByteString {
  return text.replace(/\\([0-7]{3})/g, (_match, digits: string) => String.fromCharCode(parseInt(digits, 8)));
}

function parseLine(line: ByteString): MountInfo | undefined {
  const [before, after] = line.split(' - ', 2);
  if (before === undefined || after === undefined) return undefined;
  const [id, , device, root, mountpoint, , ...tags] = before.split(' ');
  const [type, source, options = ''] = after.split(' ');
  if (id === undefined || device === undefined || mountpoint === undefined || type === undefined) return undefined;
  return {
    id: Number(id),
    device,
    root: unescape(root ?? ''),
    mountpoint: unescape(mountpoint),
    isShared: tags.some((tag) => tag.startsWith('shared:')),
    type,
    source: unescape(source ?? ''),
    options: options.split(',').map(unescape),
  };
}

/**
 * The mounts of a mount namespace, a mount that lies over another behind it.
 *
 * @param who `self`, or the id of a process in that namespace.
 */
export function readMounts(who = 'self'): MountInfo[] {
  return parseMounts(readFileSync(`/proc/${who}/mountinfo`, 'latin1'));
}

/** @param text of a mountinfo file. */
export function parseMounts(text: string): MountInfo[] {
  return text
    .split('\n')
    .map(parseLine)
    .filter((mount) => mount !== undefined);
}

/** The mount that a path shows, of those mounted on exactly that path: the uppermost. */
export function mountAt(path: ByteString): MountInfo | undefined {
  return readMounts().findLast((mount) => mount.mountpoint === path);
}
