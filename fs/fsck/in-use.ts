import { readFileSync, readdirSync, readlinkSync, statSync } from 'node:fs';
import { dirname } from 'node:path';
import { type ByteString, toText } from '../sys/bytes.ts';
import { type MountInfo, readMounts } from '../sys/mountinfo.ts';

interface FileId {
  readonly dev: bigint;
  readonly ino: bigint;
}

/**
 * What uses an upper now, in words, or undefined: a mount of kernel overlayfs in any mount namespace that can be seen,
 * or a process of fuse-overlayfs. Mounts of ours hold the workdir's lock; see workdir.ts.
 */
export function findUser(upper: ByteString): string | undefined {
  const wanted = identify(upper);
  return wanted === undefined ? undefined : (findMount(wanted) ?? findDaemon(wanted));
}

function identify(path: ByteString): FileId | undefined {
  try {
    const { dev, ino } = statSync(Buffer.from(path, 'latin1'), { bigint: true });
    return { dev, ino };
  } catch {
    return undefined;
  }
}

function isAt(path: ByteString, { dev, ino }: FileId): boolean {
  const found = identify(path);
  return found?.dev === dev && found.ino === ino;
}

/** One process of each mount namespace, our own first. */
function witnesses(): string[] {
  const known = new Map<string, string>();
  for (const pid of ['self', ...processes()]) {
    const namespace = attempt(() => readlinkSync(`/proc/${pid}/ns/mnt`));
    if (namespace !== undefined && !known.has(namespace)) known.set(namespace, pid);
  }
  return [...known.values()];
}

function processes(): string[] {
  return readdirSync('/proc').filter((name) => /^\d+$/.test(name));
}

function findMount(wanted: FileId): string | undefined {
  for (const pid of witnesses()) {
    const mounts = attempt(() => readMounts(pid)) ?? [];
    const user = mounts.find((mount) => mount.type === 'overlay' && isUpperOf(mount, pid, wanted));
    if (user !== undefined) return `kernel overlayfs is mounted on it, at ${toText(user.mountpoint)}`;
  }
  return undefined;
}

/** Options show the path as it was given: where it is relative, to a directory that is often the mount point's. */
function isUpperOf({ options, mountpoint }: MountInfo, pid: string, wanted: FileId): boolean {
  const option = options.find((text) => text.startsWith('upperdir='));
  if (option === undefined) return false;
  const path = option.slice('upperdir='.length);
  const root = pid === 'self' ? '' : `/proc/${pid}/root`;
  if (path.startsWith('/')) return isAt(root + path, wanted);
  return isAt(`${root}${dirname(mountpoint)}/${path}`, wanted) || isAt(`/proc/${pid}/cwd/${path}`, wanted);
}

/** It keeps its layers open; how it was given their paths may say nothing any more. */
function findDaemon(wanted: FileId): string | undefined {
  for (const pid of processes()) {
    const [program = ''] = attempt(() => readFileSync(`/proc/${pid}/cmdline`, 'latin1'))?.split('\0') ?? [];
    if (!/(^|\/)fuse-overlayfs$/.test(program)) continue;
    const open = attempt(() => readdirSync(`/proc/${pid}/fd`)) ?? [];
    if (open.some((fd) => isAt(`/proc/${pid}/fd/${fd}`, wanted))) return `fuse-overlayfs serves it, process ${pid}`;
  }
  return undefined;
}

/** A process that has gone meanwhile, or that is not ours to look at, tells nothing. */
function attempt<T>(look: () => T): T | undefined {
  try {
    return look();
  } catch {
    return undefined;
  }
}
