import koffi from 'koffi';
import { constants } from 'node:os';

// The suite binds the C library by itself: what is under test must not be what tests.

const SONAMES = ['libc.so.6', 'libc.musl-x86_64.so.1', 'libc.musl-aarch64.so.1'];
const ERRNO_NAMES = new Map(Object.entries(constants.errno).map(([name, value]) => [value, name]));

function load(): ReturnType<typeof koffi.load> {
  for (const soname of SONAMES) {
    try {
      return koffi.load(soname);
    } catch {
      continue;
    }
  }
  throw new Error(`none of ${SONAMES.join(', ')} can be loaded`);
}

const libc = load();

/** A system call that failed. */
export class Failure extends Error {
  readonly code: string;

  constructor(errno: number) {
    const code = ERRNO_NAMES.get(errno) ?? `errno ${errno}`;
    super(code);
    // Linux has two names for each of two numbers.
    this.code = code === 'ENOTSUP' ? 'EOPNOTSUPP' : code === 'EWOULDBLOCK' ? 'EAGAIN' : code;
  }
}

type Parameter = number | bigint | Buffer | null;
type Call = (...parameters: readonly Parameter[]) => number;

/** A C function that answers -1 and errno where it fails: throws a `Failure` then. */
function bind(prototype: string): Call {
  const native = libc.func(prototype) as unknown as (...parameters: readonly Parameter[]) => number | bigint;
  return (...parameters) => {
    const value = Number(native(...parameters));
    if (value === -1) throw new Failure(koffi.errno());
    return value;
  };
}

/** A NUL-terminated C string; a character is a byte. */
export function cstring(text: string): Buffer {
  return Buffer.from(`${text}\0`, 'latin1');
}

export const libcCalls = {
  open: bind('int open(const void *path, int flags, uint32_t mode)'),
  close: bind('int close(int fd)'),
  dup: bind('int dup(int fd)'),
  read: bind('int64_t read(int fd, void *buffer, size_t count)'),
  pread: bind('int64_t pread64(int fd, void *buffer, size_t count, int64_t offset)'),
  write: bind('int64_t write(int fd, const void *buffer, size_t count)'),
  pwrite: bind('int64_t pwrite64(int fd, const void *buffer, size_t count, int64_t offset)'),
  statx: bind('int statx(int fd, const void *path, int flags, uint32_t mask, void *out)'),
  mkdir: bind('int mkdir(const void *path, uint32_t mode)'),
  unlinkat: bind('int unlinkat(int fd, const void *path, int flags)'),
  symlink: bind('int symlink(const void *target, const void *path)'),
  linkat: bind('int linkat(int fromFd, const void *from, int toFd, const void *to, int flags)'),
  renameat2: bind('int renameat2(int fromFd, const void *from, int toFd, const void *to, uint32_t flags)'),
  mknod: bind('int mknodat(int fd, const void *path, uint32_t mode, uint64_t device)'),
  readlink: bind('int64_t readlink(const void *path, void *buffer, size_t size)'),
  access: bind('int access(const void *path, int mode)'),
  chmod: bind('int chmod(const void *path, uint32_t mode)'),
  fchmod: bind('int fchmod(int fd, uint32_t mode)'),
  fchownat: bind('int fchownat(int fd, const void *path, uint32_t uid, uint32_t gid, int flags)'),
  utimensat: bind('int utimensat(int fd, const void *path, const void *times, int flags)'),
  futimens: bind('int futimens(int fd, const void *times)'),
  truncate: bind('int truncate64(const void *path, int64_t length)'),
  ftruncate: bind('int ftruncate64(int fd, int64_t length)'),
  setxattr: bind('int lsetxattr(const void *path, const void *name, const void *value, size_t size, int flags)'),
  fsetxattr: bind('int fsetxattr(int fd, const void *name, const void *value, size_t size, int flags)'),
  getxattr: bind('int64_t lgetxattr(const void *path, const void *name, void *value, size_t size)'),
  fgetxattr: bind('int64_t fgetxattr(int fd, const void *name, void *value, size_t size)'),
  listxattr: bind('int64_t llistxattr(const void *path, void *list, size_t size)'),
  removexattr: bind('int lremovexattr(const void *path, const void *name)'),
  fremovexattr: bind('int fremovexattr(int fd, const void *name)'),
  fsync: bind('int fsync(int fd)'),
  lseek: bind('int64_t lseek64(int fd, int64_t offset, int whence)'),
  fallocate: bind('int fallocate64(int fd, int mode, int64_t offset, int64_t length)'),
  copyFileRange: bind(
    'int64_t copy_file_range(int from, void *fromOffset, int to, void *toOffset, size_t length, uint32_t flags)',
  ),
  fadvise: bind('int posix_fadvise64(int fd, int64_t offset, int64_t length, int advice)'),
  getdents: bind('int64_t getdents64(int fd, void *buffer, size_t size)'),
  munmap: bind('int munmap(uintptr_t address, size_t length)'),
  msync: bind('int msync(uintptr_t address, size_t length, int flags)'),
  umask: bind('uint32_t umask(uint32_t mask)'),
  prctl: bind('int prctl(int option, unsigned long argument)'),
};

const nativeMmap = libc.func(
  'uintptr_t mmap64(uintptr_t address, size_t length, int protection, int flags, int fd, int64_t offset)',
) as unknown as (...parameters: readonly Parameter[]) => number | bigint;
const MAP_FAILED = 0xffff_ffff_ffff_ffffn;

/** Maps a file's beginning; answers the address. */
export function mmap(fd: number, length: number, protection: number, flags: number): bigint {
  const address = BigInt.asUintN(64, BigInt(nativeMmap(0, length, protection, flags, fd, 0)));
  if (address === MAP_FAILED) throw new Failure(koffi.errno());
  return address;
}

// Past the C library, which would change the ids of all threads: ours alone makes the calls.
const syscall = bind('int64_t syscall(int64_t number, int64_t first, int64_t second, int64_t third)');
const setgroups = bind('int64_t syscall(int64_t number, int64_t size, const void *list)');
const NUMBERS =
  process.arch === 'arm64'
    ? { setresuid: 147, setresgid: 149, setgroups: 159 }
    : { setresuid: 117, setresgid: 119, setgroups: 116 };

/** Gives this thread the rights of a user; the real uid stays root's, so that it can be given others later. */
export function become(uid: number, gid: number, groups: readonly number[]): void {
  syscall(NUMBERS.setresuid, -1, 0, -1);
  const list = Buffer.alloc(4 * groups.length + 4);
  groups.forEach((group, index) => list.writeUInt32LE(group, 4 * index));
  setgroups(NUMBERS.setgroups, groups.length, list);
  syscall(NUMBERS.setresgid, -1, gid, -1);
  syscall(NUMBERS.setresuid, -1, uid, -1);
}
