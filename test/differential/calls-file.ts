import { libcCalls as libc, mmap } from './libc.ts';
import { peek } from './memory.ts';
import { seek } from './seek.ts';
import { text } from './text.ts';
import { type World } from './world.ts';

const O_RDONLY = 0;
const O_WRONLY = 1;
const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const LIMIT = 65_536;
const PROT_READ = 1;
const MAP_SHARED = 1;
const MAP_PRIVATE = 2;
const DONT_NEED = 4;

const buffer = Buffer.alloc(LIMIT);

/** Calls that open a regular file, do something and close it. */
export const FILE_CALLS = {
  put(world: World, path: string, flags: number, mode: number, letter: string, length: number) {
    const fd = libc.open(world.at(path), O_WRONLY | O_NONBLOCK | flags, mode);
    try {
      if (length > 0) libc.write(fd, text(letter, length), length);
    } finally {
      libc.close(fd);
    }
  },
  read: (world: World, path: string) =>
    world.using(path, O_RDONLY, (fd) => buffer.subarray(0, libc.pread(fd, buffer, LIMIT, 0))),
  readMapped: (world: World, path: string, length: number, shared: number) =>
    world.using(path, O_RDONLY, (fd) => {
      const address = mmap(fd, LIMIT, PROT_READ, shared === 0 ? MAP_PRIVATE : MAP_SHARED);
      try {
        return peek(address, 0, length);
      } finally {
        libc.munmap(address, LIMIT);
      }
    }),
  write: (world: World, path: string, letter: string, length: number, offset: number) =>
    world.using(path, O_WRONLY, (fd) => libc.pwrite(fd, text(letter, length), length, offset)),
  fallocate: (world: World, path: string, mode: number, offset: number, length: number) =>
    world.using(path, O_RDWR, (fd) => void libc.fallocate(fd, mode, offset, length)),
  seek: (world: World, path: string, offset: number, whence: number) =>
    world.using(path, O_RDONLY, (fd) => seek(fd, offset, whence)),
  copyRange: (world: World, from: string, to: string, length: number) =>
    world.using(from, O_RDONLY, (source) =>
      world.using(to, O_WRONLY, (target) => libc.copyFileRange(source, null, target, null, length, 0)),
    ),
  /** Has the page cache let go of a file, once it is on disk. */
  forget: (world: World, path: string) =>
    world.using(path, O_RDONLY, (fd) => {
      libc.fsync(fd);
      libc.fadvise(fd, 0, 0, DONT_NEED);
    }),
};
