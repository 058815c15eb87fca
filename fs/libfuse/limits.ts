/**
 * What the backend fuse-native cannot do, and why: libfuse 2.9, which is in the package fuse-native 2.2.6, does not pass it
 * on. All else is as with the default backend; the conformance suite leaves out what stands here, and nothing more.
 *
 * What fuse-native itself leaves out is worked around, through libfuse's own structures (instance.ts): who asks and with
 * which umask, times one by one and to the nanosecond, inode numbers of 64 bits, names of any bytes, fallocate, ioctl,
 * files whose directory is gone.
 */
export const LIMITS = {
  acl: 'libfuse 2.9 does not have the kernel check ACLs: they are kept and inherited, and the mode bits alone decide',
  privileges:
    'libfuse 2.9 leaves it to the kernel to clear setuid and setgid at writes, which keeps setgid on files that their group may not execute',
  renameFlags:
    'libfuse 2.9 speaks protocol 7.19, which has no RENAME_NOREPLACE and RENAME_EXCHANGE: the kernel says EINVAL',
  temporary: 'libfuse 2.9 has no O_TMPFILE: the kernel says EOPNOTSUPP',
  holes: 'libfuse 2.9 has no lseek: the kernel takes every file for one without holes',
  copyRange: 'libfuse 2.9 has no copy_file_range: the kernel reads and writes instead, without reflinks',
  birthTime: 'libfuse 2.9 has no statx: files show no birth time',
  removedDirectories:
    'libfuse 2.9 knows a directory by its path only: one that is removed while it is open, or a working directory, is ENOENT, and so are fstat and fchmod of files that were in it (they are read and written)',
  hardLinks:
    'each name of a file with hard links is an inode of its own to libfuse and the kernel: the same st_ino, but separate locks and mappings',
  replaceOpen:
    'libfuse 2.9 removes an open file before another is renamed to its name: the name is missing for a moment',
  notifications:
    'nothing tells the kernel of changes from outside: layers must stay as they are, or timeout=0 be given',
  fileHandles: 'libfuse 2.9 finds files by path, not by file handle: nfs_export=on is refused',
  cache:
    'attributes are asked for each time, and pages dropped at each open: another name of the same file may have changed them',
  waiting: 'fsync, and a write that has to wait for a copy, hold up the requests of others while they wait',
  mountpoint: 'fuse-native takes a mount point of at most 1,023 bytes that is UTF-8',
  platform: 'fuse-native has a build for x86-64 with glibc only',
} as const;

export type Limit = keyof typeof LIMITS;
