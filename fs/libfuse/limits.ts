/**
 * What the backend fuse-native cannot do, and why: fuse-native 2.2.6 and the libfuse 2.9 in it do not pass it on. All
 * else is as with the default backend; the conformance suite leaves out what stands here, and nothing more.
 */
export const LIMITS = {
  caller:
    'fuse-native does not tell who asks: new files belong to the user that the daemon runs as (setgid directories give their group)',
  umask:
    'libfuse 2.9 has the kernel apply the umask before a default ACL can take its place: inherited ACLs are cut by it',
  acl: 'libfuse 2.9 does not have the kernel check ACLs: they are kept, and the mode bits alone decide',
  times:
    'fuse-native passes times on in milliseconds, and libfuse only where both are set: what is below is cut, one time alone is not set',
  renameFlags:
    'libfuse 2.9 speaks protocol 7.19, which has no RENAME_NOREPLACE and RENAME_EXCHANGE: the kernel says EINVAL',
  temporary: 'libfuse 2.9 has no O_TMPFILE: the kernel says EOPNOTSUPP',
  allocate: 'fuse-native has no fallocate: the kernel says EOPNOTSUPP',
  holes: 'libfuse 2.9 has no lseek: the kernel takes every file for one without holes',
  ioctl: 'fuse-native has no ioctl: lsattr and chattr are refused',
  directIo:
    'the buffers that fuse-native passes data in are not aligned: O_DIRECT bypasses the mount’s page cache alone',
  copyRange: 'libfuse 2.9 has no copy_file_range: the kernel reads and writes instead, without reflinks',
  birthTime: 'libfuse 2.9 has no statx: files show no birth time',
  removedDirectories:
    'libfuse 2.9 knows a directory by its path only: one that is removed while it is open or a working directory is ENOENT',
  hardLinks:
    'each name of a file with hard links is an inode of its own to libfuse and the kernel: the same st_ino, but separate locks and mappings',
  replaceOpen:
    'libfuse 2.9 removes an open file before another is renamed to its name: the name is missing for a moment',
  placeholderNames:
    'a rename of an open file to `.fuse_hidden` and 16 hexadecimal digits, by a user, is taken for its removal by libfuse',
  notifications:
    'nothing tells the kernel of changes from outside: layers must stay as they are, or timeout=0 be given',
  fileHandles: 'libfuse 2.9 finds files by path, not by file handle: nfs_export=on is refused',
  threads:
    'libfuse 2.9 ends threads that it does not need and fuse-native keeps what it had for each: a few hundred bytes',
  mountpoint: 'fuse-native takes a mount point of at most 1,023 bytes that is UTF-8',
  platform: 'fuse-native has a build for x86-64 with glibc only',
} as const;

export type Limit = keyof typeof LIMITS;
