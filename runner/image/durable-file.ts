import { closeSync, fsyncSync, openSync, renameSync, writeSync } from 'node:fs';
import { dirname } from 'node:path';

import { toBytes } from '../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../../fs/sys/constants.ts';
import { check } from '../../fs/sys/errno.ts';
import { close, fsync, openat, syncfs } from '../../fs/sys/file.ts';

/** Replaces `path` by `content`, all of it or nothing, also over a power failure. `aside` is on the same filesystem. */
export function writeDurably(path: string, content: Uint8Array | string, aside: string, mode = 0o600): void {
  writeSynced(aside, content, mode);
  renameSync(aside, path);
  syncDirectory(dirname(path));
}

/** Writes a file whose content is to be on disk before a directory that it is in is renamed, and can be seen. */
export function writeSynced(path: string, content: Uint8Array | string, mode = 0o600): void {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  const fd = openSync(path, 'w', mode);
  try {
    for (let at = 0; at < bytes.length;) at += writeSync(fd, bytes, at);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Makes a file's content lasting. */
export function syncFile(path: string): void {
  const fd = openSync(path, 'r');
  try {
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function withDirectory(path: string, call: (fd: number) => number): void {
  const fd = check(openat(-1, toBytes(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC), `open directory ${path}`);
  try {
    check(call(fd), `write ${path} to disk`);
  } finally {
    close(fd);
  }
}

/** Makes renames in the directory lasting. */
export function syncDirectory(path: string): void {
  withDirectory(path, fsync);
}

/** Makes all that was written to the directory's filesystem lasting: one call for the thousands of files of a layer. */
export function syncFilesystem(path: string): void {
  withDirectory(path, syncfs);
}
