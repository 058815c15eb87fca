import { type Agent, type Identity } from './agent.ts';
import {
  IOCTL_SIZE,
  type Listed,
  type Status,
  parseDirectory,
  parseStatus,
  splitNames,
  timespecs,
} from './structures.ts';

/**
 * A path as bytes, one character (U+0000 to U+00FF) a byte: names need not be UTF-8.
 */
export type Path = string;

const AT_FDCWD = -100;
const NOFOLLOW = 0x100;
const EMPTY_PATH = 0x1000;
const REMOVEDIR = 0x200;
const STATX_ALL = 0xfff;
const CHUNK = 65_536;

/** A NUL-terminated C string. */
/** MAX_HANDLE_SZ. */
const HANDLE_SIZE = 128;

function cstring(path: Path): Buffer {
  return Buffer.from(`${path}\0`, 'latin1');
}

function data(content: string | Buffer): Buffer {
  return typeof content === 'string' ? Buffer.from(content, 'latin1') : content;
}

/** System calls by name, made by an agent. Each rejects with a `CallError` where it fails; none follows a last symlink
 * unless it says so. */
export class System {
  readonly agent: Agent;
  readonly identity: Identity | undefined;
  readonly #open = new Set<number>();

  constructor(agent: Agent, identity?: Identity) {
    this.agent = agent;
    this.identity = identity;
  }

  async #int(prototype: string, ...parameters: (number | bigint | Buffer | null)[]): Promise<number> {
    return Number((await this.agent.check(prototype, parameters)).value);
  }

  /** Calls a function whose last-but-`behind` parameter is a buffer to be filled; answers the bytes it filled. */
  async #filled(prototype: string, parameters: (number | bigint | Buffer | null)[], at: number): Promise<Buffer> {
    const reply = await this.agent.check(prototype, parameters, [at]);
    return Buffer.from(reply.out[0] ?? []).subarray(0, Number(reply.value));
  }

  async open(path: Path, flags: number, mode = 0o644): Promise<number> {
    const fd = await this.#int('int open(const void *path, int flags, uint32_t mode)', cstring(path), flags, mode);
    this.#open.add(fd);
    return fd;
  }

  close(fd: number): Promise<number> {
    this.#open.delete(fd);
    return this.#int('int close(int fd)', fd);
  }

  /** Closes what is open still and leaves the mount, so that it can be unmounted. */
  async release(): Promise<void> {
    for (const fd of this.#open) await this.agent.call('int close(int fd)', [fd]);
    this.#open.clear();
    await this.chdir('/');
  }

  read(fd: number, count: number): Promise<Buffer> {
    return this.#filled('int64_t read(int fd, void *buffer, size_t count)', [fd, Buffer.alloc(count), count], 1);
  }

  pread(fd: number, count: number, offset: number): Promise<Buffer> {
    const parameters = [fd, Buffer.alloc(count), count, offset];
    return this.#filled('int64_t pread64(int fd, void *buffer, size_t count, int64_t offset)', parameters, 1);
  }

  write(fd: number, content: string | Buffer): Promise<number> {
    const bytes = data(content);
    return this.#int('int64_t write(int fd, const void *buffer, size_t count)', fd, bytes, bytes.length);
  }

  pwrite(fd: number, content: string | Buffer, offset: number): Promise<number> {
    const bytes = data(content);
    const prototype = 'int64_t pwrite64(int fd, const void *buffer, size_t count, int64_t offset)';
    return this.#int(prototype, fd, bytes, bytes.length, offset);
  }

  /** Reads a whole file as bytes. */
  async contents(path: Path): Promise<Buffer> {
    const fd = await this.open(path, 0);
    const chunks: Buffer[] = [];
    try {
      for (let chunk = await this.read(fd, CHUNK); chunk.length > 0; chunk = await this.read(fd, CHUNK))
        chunks.push(chunk);
    } finally {
      await this.close(fd);
    }
    return Buffer.concat(chunks);
  }

  async text(path: Path): Promise<string> {
    return (await this.contents(path)).toString('latin1');
  }

  /** Opens with the flags given, writes all, closes. */
  async put(path: Path, content: string | Buffer, flags = 0o1101, mode = 0o644): Promise<void> {
    const fd = await this.open(path, flags, mode);
    try {
      if (content.length > 0) await this.write(fd, content);
    } finally {
      await this.close(fd);
    }
  }

  async #statx(fd: number, path: Path, flags: number): Promise<Status> {
    const out = Buffer.alloc(256);
    const prototype = 'int statx(int fd, const void *path, int flags, uint32_t mask, void *out)';
    const reply = await this.agent.check(prototype, [fd, cstring(path), flags, STATX_ALL, out], [4]);
    return parseStatus(Buffer.from(reply.out[0] ?? []));
  }

  stat(path: Path): Promise<Status> {
    return this.#statx(AT_FDCWD, path, NOFOLLOW);
  }

  statFollowed(path: Path): Promise<Status> {
    return this.#statx(AT_FDCWD, path, 0);
  }

  fstat(fd: number): Promise<Status> {
    return this.#statx(fd, '', EMPTY_PATH);
  }

  async exists(path: Path): Promise<boolean> {
    const reply = await this.agent.call('int faccessat(int fd, const void *path, int mode, int flags)', [
      AT_FDCWD,
      cstring(path),
      0,
      NOFOLLOW,
    ]);
    return Number(reply.value) === 0;
  }

  access(path: Path, mode: number): Promise<number> {
    return this.#int('int access(const void *path, int mode)', cstring(path), mode);
  }

  mkdir(path: Path, mode = 0o755): Promise<number> {
    return this.#int('int mkdir(const void *path, uint32_t mode)', cstring(path), mode);
  }

  rmdir(path: Path): Promise<number> {
    return this.#int('int unlinkat(int fd, const void *path, int flags)', AT_FDCWD, cstring(path), REMOVEDIR);
  }

  unlink(path: Path): Promise<number> {
    return this.#int('int unlinkat(int fd, const void *path, int flags)', AT_FDCWD, cstring(path), 0);
  }

  symlink(target: string, path: Path): Promise<number> {
    return this.#int('int symlink(const void *target, const void *path)', cstring(target), cstring(path));
  }

  /** @param flags AT_SYMLINK_FOLLOW (0x400), AT_EMPTY_PATH. */
  link(from: Path, to: Path, flags = 0): Promise<number> {
    const prototype = 'int linkat(int fromFd, const void *from, int toFd, const void *to, int flags)';
    return this.#int(prototype, AT_FDCWD, cstring(from), AT_FDCWD, cstring(to), flags);
  }

  /** @param flags RENAME_NOREPLACE (1), RENAME_EXCHANGE (2), RENAME_WHITEOUT (4). */
  rename(from: Path, to: Path, flags = 0): Promise<number> {
    const prototype = 'int renameat2(int fromFd, const void *from, int toFd, const void *to, uint32_t flags)';
    return this.#int(prototype, AT_FDCWD, cstring(from), AT_FDCWD, cstring(to), flags);
  }

  mknod(path: Path, mode: number, device = 0): Promise<number> {
    const prototype = 'int mknodat(int fd, const void *path, uint32_t mode, uint64_t device)';
    return this.#int(prototype, AT_FDCWD, cstring(path), mode, device);
  }

  async readlink(path: Path): Promise<string> {
    const parameters = [AT_FDCWD, cstring(path), Buffer.alloc(4096), 4096];
    const prototype = 'int64_t readlinkat(int fd, const void *path, void *buffer, size_t size)';
    return (await this.#filled(prototype, parameters, 2)).toString('latin1');
  }

  /** Follows a symlink. */
  chmod(path: Path, mode: number): Promise<number> {
    return this.#int('int chmod(const void *path, uint32_t mode)', cstring(path), mode);
  }

  fchmod(fd: number, mode: number): Promise<number> {
    return this.#int('int fchmod(int fd, uint32_t mode)', fd, mode);
  }

  /** An id of -1 stays as it is. */
  chown(path: Path, uid: number, gid: number): Promise<number> {
    const prototype = 'int fchownat(int fd, const void *path, uint32_t uid, uint32_t gid, int flags)';
    return this.#int(prototype, AT_FDCWD, cstring(path), uid >>> 0, gid >>> 0, NOFOLLOW);
  }

  fchown(fd: number, uid: number, gid: number): Promise<number> {
    return this.#int('int fchown(int fd, uint32_t uid, uint32_t gid)', fd, uid >>> 0, gid >>> 0);
  }

  /** Nanoseconds since 1970; `now` and `omit` as utimensat(2) has them. */
  utimens(path: Path, atime: bigint | 'now' | 'omit', mtime: bigint | 'now' | 'omit'): Promise<number> {
    const prototype = 'int utimensat(int fd, const void *path, const void *times, int flags)';
    return this.#int(prototype, AT_FDCWD, cstring(path), timespecs(atime, mtime), NOFOLLOW);
  }

  futimens(fd: number, atime: bigint | 'now' | 'omit', mtime: bigint | 'now' | 'omit'): Promise<number> {
    return this.#int('int futimens(int fd, const void *times)', fd, timespecs(atime, mtime));
  }

  truncate(path: Path, length: number): Promise<number> {
    return this.#int('int truncate64(const void *path, int64_t length)', cstring(path), length);
  }

  ftruncate(fd: number, length: number): Promise<number> {
    return this.#int('int ftruncate64(int fd, int64_t length)', fd, length);
  }

  /** @param flags XATTR_CREATE (1), XATTR_REPLACE (2). */
  setxattr(path: Path, name: string, value: string | Buffer, flags = 0): Promise<number> {
    const bytes = data(value);
    const prototype = 'int lsetxattr(const void *path, const void *name, const void *value, size_t size, int flags)';
    return this.#int(prototype, cstring(path), cstring(name), bytes, bytes.length, flags);
  }

  /** The value as bytes; `capacity` is what the caller offers. */
  async getxattr(path: Path, name: string, capacity = CHUNK): Promise<string> {
    const prototype = 'int64_t lgetxattr(const void *path, const void *name, void *value, size_t size)';
    const parameters = [cstring(path), cstring(name), Buffer.alloc(capacity), capacity];
    return (await this.#filled(prototype, parameters, 2)).toString('latin1');
  }

  /** The length of a value, by a call that offers no room. */
  xattrLength(path: Path, name: string): Promise<number> {
    const prototype = 'int64_t lgetxattr(const void *path, const void *name, void *value, size_t size)';
    return this.#int(prototype, cstring(path), cstring(name), null, 0);
  }

  /** Names of the extended attributes, sorted. */
  async listxattr(path: Path, capacity = CHUNK): Promise<string[]> {
    const prototype = 'int64_t llistxattr(const void *path, void *list, size_t size)';
    return splitNames(await this.#filled(prototype, [cstring(path), Buffer.alloc(capacity), capacity], 1));
  }

  xattrListLength(path: Path): Promise<number> {
    return this.#int('int64_t llistxattr(const void *path, void *list, size_t size)', cstring(path), null, 0);
  }

  removexattr(path: Path, name: string): Promise<number> {
    return this.#int('int lremovexattr(const void *path, const void *name)', cstring(path), cstring(name));
  }

  fsetxattr(fd: number, name: string, value: string | Buffer, flags = 0): Promise<number> {
    const bytes = data(value);
    const prototype = 'int fsetxattr(int fd, const void *name, const void *value, size_t size, int flags)';
    return this.#int(prototype, fd, cstring(name), bytes, bytes.length, flags);
  }

  async fgetxattr(fd: number, name: string, capacity = CHUNK): Promise<string> {
    const prototype = 'int64_t fgetxattr(int fd, const void *name, void *value, size_t size)';
    return (await this.#filled(prototype, [fd, cstring(name), Buffer.alloc(capacity), capacity], 2)).toString('latin1');
  }

  /** The kernel's persistent name of a file: `struct file_handle`. */
  async handleOf(path: Path): Promise<Buffer> {
    const handle = Buffer.alloc(8 + HANDLE_SIZE);
    handle.writeUInt32LE(HANDLE_SIZE);
    const prototype = 'int name_to_handle_at(int fd, const void *path, void *handle, void *mountId, int flags)';
    const reply = await this.agent.check(prototype, [AT_FDCWD, cstring(path), handle, Buffer.alloc(8), 0], [2]);
    return Buffer.from(reply.out[0] ?? []);
  }

  /** @param mountFd any open file of the same mount. */
  async openByHandle(mountFd: number, handle: Buffer, flags: number): Promise<number> {
    const prototype = 'int open_by_handle_at(int mountFd, void *handle, int flags)';
    const fd = await this.#int(prototype, mountFd, handle, flags);
    this.#open.add(fd);
    return fd;
  }

  fsync(fd: number): Promise<number> {
    return this.#int('int fsync(int fd)', fd);
  }

  fdatasync(fd: number): Promise<number> {
    return this.#int('int fdatasync(int fd)', fd);
  }

  /** `struct statfs` as it lies in memory; all fields are 64 bits wide. */
  async statfs(path: Path): Promise<Buffer> {
    const prototype = 'int statfs64(const void *path, void *out)';
    const reply = await this.agent.check(prototype, [cstring(path), Buffer.alloc(120)], [1]);
    return Buffer.from(reply.out[0] ?? []);
  }

  lseek(fd: number, offset: number, whence: number): Promise<number> {
    return this.#int('int64_t lseek64(int fd, int64_t offset, int whence)', fd, offset, whence);
  }

  fallocate(fd: number, mode: number, offset: number, length: number): Promise<number> {
    return this.#int('int fallocate64(int fd, int mode, int64_t offset, int64_t length)', fd, mode, offset, length);
  }

  /** From and to the files' own offsets. */
  copyFileRange(from: number, to: number, length: number): Promise<number> {
    const prototype =
      'int64_t copy_file_range(int from, void *fromOffset, int to, void *toOffset, size_t length, uint32_t flags)';
    return this.#int(prototype, from, null, to, null, length, 0);
  }

  flock(fd: number, operation: number): Promise<number> {
    return this.#int('int flock(int fd, int operation)', fd, operation);
  }

  /** fcntl(2) with a plain number; `fcntlBuffer` where it takes a structure. */
  fcntl(fd: number, command: number, argument: number): Promise<number> {
    return this.#int('int fcntl64(int fd, int command, long argument)', fd, command, argument);
  }

  async fcntlBuffer(fd: number, command: number, argument: Buffer): Promise<Buffer> {
    const reply = await this.agent.check(
      'int fcntl64(int fd, int command, void *argument)',
      [fd, command, argument],
      [2],
    );
    return Buffer.from(reply.out[0] ?? []);
  }

  /** @param argument at least `IOCTL_SIZE` bytes are offered to the kernel. */
  async ioctl(fd: number, request: number, argument: Buffer = Buffer.alloc(0)): Promise<Buffer> {
    const room = Buffer.concat([argument, Buffer.alloc(Math.max(0, IOCTL_SIZE - argument.length))]);
    const reply = await this.agent.check(
      'int ioctl(int fd, unsigned long request, void *argument)',
      [fd, request, room],
      [2],
    );
    return Buffer.from(reply.out[0] ?? []);
  }

  chdir(path: Path): Promise<number> {
    return this.#int('int chdir(const void *path)', cstring(path));
  }

  /** Sets the mask and answers the one before. */
  umask(mask: number): Promise<number> {
    return this.#int('uint32_t umask(uint32_t mask)', mask);
  }

  /** One getdents64(2) from the descriptor's own position. */
  async getdents(fd: number, capacity = CHUNK): Promise<Listed[]> {
    const prototype = 'int64_t getdents64(int fd, void *buffer, size_t size)';
    return parseDirectory(await this.#filled(prototype, [fd, Buffer.alloc(capacity), capacity], 1));
  }

  /** All entries, `.` and `..` too, in the order in which they come. */
  async list(path: Path, capacity = CHUNK): Promise<Listed[]> {
    const fd = await this.open(path, 0o200000);
    try {
      return await this.listOpen(fd, capacity);
    } finally {
      await this.close(fd);
    }
  }

  /** All entries from an open directory's position on. */
  async listOpen(fd: number, capacity = CHUNK): Promise<Listed[]> {
    const all: Listed[] = [];
    for (let part = await this.getdents(fd, capacity); part.length > 0; part = await this.getdents(fd, capacity))
      all.push(...part);
    return all;
  }

  /** The names in a directory but `.` and `..`, sorted. */
  async names(path: Path): Promise<string[]> {
    const listed = await this.list(path);
    return listed
      .map(({ name }) => name)
      .filter((name) => name !== '.' && name !== '..')
      .sort();
  }

  /** Maps a file; answers the address. */
  async mmap(fd: number, length: number, protection: number, flags: number): Promise<bigint> {
    const prototype =
      'uintptr_t mmap64(uintptr_t address, size_t length, int protection, int flags, int fd, int64_t offset)';
    const reply = await this.agent.call(prototype, [0, length, protection, flags, fd, 0]);
    const address = BigInt.asUintN(64, BigInt(reply.value));
    if (address === 0xffff_ffff_ffff_ffffn) throw new Error(`mmap: errno ${reply.errno}`);
    return address;
  }

  async munmap(address: bigint, length: number): Promise<number> {
    return this.#int('int munmap(uintptr_t address, size_t length)', address, length);
  }

  msync(address: bigint, length: number): Promise<number> {
    return this.#int('int msync(uintptr_t address, size_t length, int flags)', address, length, 4);
  }

  /** Stores bytes in a mapping. */
  async poke(address: bigint, content: string): Promise<void> {
    const bytes = data(content);
    await this.agent.call('uintptr_t memcpy(uintptr_t to, const void *from, size_t length)', [
      address,
      bytes,
      bytes.length,
    ]);
  }

  /** Reads bytes of a mapping. */
  async peek(address: bigint, length: number): Promise<string> {
    const prototype = 'uintptr_t memcpy(void *to, uintptr_t from, size_t length)';
    const reply = await this.agent.call(prototype, [Buffer.alloc(length), address, length], [0]);
    return Buffer.from(reply.out[0] ?? []).toString('latin1');
  }
}
