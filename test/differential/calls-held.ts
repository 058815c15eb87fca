import { cstring, libcCalls as libc, mmap } from './libc.ts';
import { peek, poke } from './memory.ts';
import { changeHeld } from './nameless.ts';
import { describe, isDirectory, statusOfFd } from './status.ts';
import { seek } from './seek.ts';
import { text, timespecs } from './text.ts';
import { type World } from './world.ts';

const O_ACCMODE = 3;
const O_RDWR = 2;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const LIMIT = 65_536;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MS_SYNC = 4;
const CAPACITY = 4_096;

const buffer = Buffer.alloc(LIMIT);

/** How much of what is asked for a mapping has and the file, too: FUSE keeps what is stored behind its end. */
function within(world: World, slot: number, offset: number, length: number): number {
  const mapping = world.mapping(slot);
  const end = Math.min(mapping.length, statusOfFd(mapping.fd).size);
  return Math.max(0, Math.min(length, end - offset));
}

/** Calls on files that a slot holds open. */
export const HELD_CALLS = {
  hold(world: World, slot: number, path: string, flags: number, mode: number) {
    if (world.held.has(slot)) return 'held already';
    world.held.set(slot, { fd: libc.open(world.at(path), flags | O_NONBLOCK | O_CLOEXEC, mode), flags });
    return undefined;
  },
  heldRead: (world: World, slot: number) => buffer.subarray(0, libc.pread(world.holding(slot).fd, buffer, LIMIT, 0)),
  heldReadOn(world: World, slot: number, length: number) {
    const { fd } = world.holding(slot);
    return isDirectory(statusOfFd(fd)) ? 'a directory' : buffer.subarray(0, libc.read(fd, buffer, length));
  },
  heldWrite: (world: World, slot: number, letter: string, length: number, offset: number) =>
    libc.pwrite(world.holding(slot).fd, text(letter, length), length, offset),
  heldWriteOn: (world: World, slot: number, letter: string, length: number) =>
    libc.write(world.holding(slot).fd, text(letter, length), length),
  heldTruncate: (world: World, slot: number, length: number) => void libc.ftruncate(world.holding(slot).fd, length),
  heldFallocate: (world: World, slot: number, mode: number, offset: number, length: number) =>
    void libc.fallocate(world.holding(slot).fd, mode, offset, length),
  heldStat(world: World, slot: number) {
    const status = statusOfFd(world.holding(slot).fd);
    return isDirectory(status) ? status.mode.toString(8) : describe(status);
  },
  heldChmod: (world: World, slot: number, mode: number) => changeHeld(world, slot, (fd) => libc.fchmod(fd, mode)),
  heldChown: (world: World, slot: number, uid: number, gid: number) =>
    changeHeld(world, slot, (fd) => libc.fchownat(fd, cstring(''), uid >>> 0, gid >>> 0, 0x1000)),
  heldUtimens: (world: World, slot: number, atime: string, mtime: string) =>
    changeHeld(world, slot, (fd) => libc.futimens(fd, timespecs(atime, mtime))),
  heldSetxattr: (world: World, slot: number, name: string, letter: string, length: number) =>
    changeHeld(world, slot, (fd) => libc.fsetxattr(fd, cstring(name), text(letter, length), length, 0)),
  heldGetxattr: (world: World, slot: number, name: string) =>
    buffer.subarray(0, libc.fgetxattr(world.holding(slot).fd, cstring(name), buffer, CAPACITY)),
  heldRemovexattr: (world: World, slot: number, name: string) =>
    changeHeld(world, slot, (fd) => libc.fremovexattr(fd, cstring(name))),
  heldSeek: (world: World, slot: number, offset: number, whence: number) =>
    seek(world.holding(slot).fd, offset, whence),
  heldSync: (world: World, slot: number) => void libc.fsync(world.holding(slot).fd),
  heldClose(world: World, slot: number) {
    const { fd } = world.holding(slot);
    world.held.delete(slot);
    libc.close(fd);
  },

  /** Shared and writable. A file that is open for reading alone is not mapped for longer: see `readMapped`. */
  map(world: World, slot: number, length: number) {
    const { fd, flags } = world.holding(slot);
    if (world.mappings.has(slot)) return 'mapped already';
    if ((flags & O_ACCMODE) !== O_RDWR) return 'not writable';
    const address = mmap(fd, length, PROT_READ | PROT_WRITE, MAP_SHARED);
    world.mappings.set(slot, { address, length, fd: libc.dup(fd) });
    return undefined;
  },
  mapRead: (world: World, slot: number, offset: number, length: number) =>
    peek(world.mapping(slot).address, offset, Math.min(length, world.mapping(slot).length - offset)),
  mapWrite: (world: World, slot: number, letter: string, length: number, offset: number) =>
    poke(world.mapping(slot).address, offset, text(letter, within(world, slot, offset, length))),
  mapSync: (world: World, slot: number) =>
    void libc.msync(world.mapping(slot).address, world.mapping(slot).length, MS_SYNC),
  unmap: (world: World, slot: number) => world.unmap(slot),
};
