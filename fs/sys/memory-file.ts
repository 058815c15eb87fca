import { closeSync, openSync, readSync, writeSync } from 'node:fs';
import { firstPath } from './bytes.ts';
import { check } from './errno.ts';
import { fcntl } from './fcntl.ts';
import { bind, result } from './libc.ts';

const nativeMemfdCreate = bind('int memfd_create(uintptr_t name, uint32_t flags)');

// linux/memfd.h, linux/fcntl.h
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const SEAL_ALL = 1 | 2 | 4 | 8; // seal, shrink, grow, write

const CHUNK = 1 << 20;

/** memfd_create(2): the descriptor of a new, empty file that lives in memory, or a negative errno. */
export function memfdCreate(flags = 0): number {
  return result(nativeMemfdCreate(firstPath('lamina'), MFD_CLOEXEC | flags));
}

/** As `memfdCreate`; throws where there can be none. */
export function createMemoryFile(flags = 0): number {
  return check(memfdCreate(flags), 'make a memory file');
}

/** A copy of a file that lives in memory and that nobody can change any more; answers its descriptor. */
export function copyToSealedMemory(path: string): number {
  const fd = createMemoryFile(MFD_ALLOW_SEALING);
  const source = openSync(path, 'r');
  try {
    const buffer = Buffer.allocUnsafe(CHUNK);
    for (let length = readSync(source, buffer); length > 0; length = readSync(source, buffer)) {
      for (let at = 0; at < length;) at += writeSync(fd, buffer, at, length - at);
    }
  } finally {
    closeSync(source);
  }
  check(fcntl(fd, F_ADD_SEALS, SEAL_ALL), 'seal a memory file');
  return fd;
}
