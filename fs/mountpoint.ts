import { readlinkSync, statSync } from 'node:fs';
import { basename, dirname, resolve } from 'node:path';
import { MOUNT_TYPE } from './fuse/options.ts';
import { type ByteString, toText } from './sys/text.ts';
import { mountAt } from './sys/mountinfo.ts';
import { realPath } from './sys/real-path.ts';

const toBuffer = (path: ByteString): Buffer => Buffer.from(path, 'latin1');

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : String(error);
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: 'does not exist',
  ENOTDIR: 'is not a directory',
  EACCES: 'is not accessible (permission denied)',
  ELOOP: 'has too many symbolic links in its path',
  ENAMETOOLONG: 'is too long a path',
};

function inspect(path: ByteString): void {
  const text = toText(path);
  try {
    if (!statSync(toBuffer(path)).isDirectory()) throw new Error(`mount point ${text} is not a directory`);
  } catch (error) {
    const code = codeOf(error);
    if (code === 'ENOTCONN') {
      throw new Error(`mount point ${text} is in use: a FUSE mount whose daemon has died (lamina umount ${text})`);
    }
    const reason = REASONS[code];
    throw reason === undefined ? error : new Error(`mount point ${text} ${reason}`);
  }
}

/** Checks that something can be mounted on `path`; answers its absolute path. */
export function checkMountpoint(path: ByteString): ByteString {
  if (path === '') throw new Error('the mount point is an empty path');
  inspect(path);
  const real = realPath(path);
  // Mounting over other mounts is a caller's right; over one of ours it is a mistake.
  if (mountAt(real)?.type === MOUNT_TYPE) {
    throw new Error(`mount point ${toText(path)} is in use: lamina is mounted on it already`);
  }
  return real;
}

/** Absolute path of something that is mounted, and perhaps dead: a dead mount can be named, but not looked at. */
export function resolveMounted(path: ByteString): ByteString {
  try {
    return realPath(path);
  } catch (error) {
    if (codeOf(error) !== 'ENOTCONN') {
      throw new Error(`${toText(path)} ${REASONS[codeOf(error)] ?? codeOf(error)}`, { cause: error });
    }
  }
  const parent = realPath(dirname(path));
  const named = `${parent === '/' ? '' : parent}/${basename(path)}`;
  try {
    return resolveMounted(resolve(parent, readlinkSync(toBuffer(named), 'buffer').toString('latin1')));
  } catch {
    return named;
  }
}
