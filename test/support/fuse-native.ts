import { type Limit, LIMITS } from '../../fs/libfuse/limits.ts';

/** Rows of the conformance suite that cannot hold behind fuse-native, by the limit that stands against them. */
const EXCLUDED: Readonly<Partial<Record<Limit, readonly string[]>>> = {
  caller: [
    'everything a user makes belongs to that user, in lower and upper directories',
    'a setgid directory gives its group to files and its bit to directories',
    'a user renames and removes their own directory from a lower of another',
    'what a user makes belongs to the user, and to the group of a setgid directory',
  ],
  umask: [
    'default ACLs are inherited and take the place of the umask',
    'default ACLs of a lower directory are inherited',
    'a default ACL is inherited in the place of the umask',
  ],
  acl: ['an access ACL lets a named user in, and chmod changes its mask'],
  times: [
    'chown and utimens of a symlink change the symlink',
    'utimens sets both times to the nanosecond, on lower, upper and directory',
    'utimens sets times before 1970 and after 2038',
    'UTIME_OMIT leaves a time, UTIME_NOW sets it to now',
    'times set on an open descriptor after a write hold once it is closed',
    'fstat of a descriptor opened before sees the metadata of the copy',
    'an unlinked lower file that is open takes fchmod, fchown and times',
  ],
  renameFlags: [
    'RENAME_NOREPLACE refuses what any layer has and takes what is hidden',
    'RENAME_EXCHANGE of upper files, and of an upper with a lower one',
    'RENAME_EXCHANGE of a file and a new directory',
    'RENAME_EXCHANGE of two lower directories, and of a directory with a file',
  ],
  temporary: [
    'O_TMPFILE makes a file without a name, which linkat gives one',
    'O_TMPFILE with O_EXCL cannot be given a name',
  ],
  allocate: [
    'fallocate makes a file longer, or keeps its size',
    'suid and sgid are cleared by fallocate and copy_file_range of another than root',
    'fallocate punches a hole and zeroes a range, in a lower file too',
    'fallocate by a user outside the file’s group clears setgid, by a member not',
  ],
  holes: ['SEEK_DATA and SEEK_HOLE tell the holes of a file', 'holes of an unchanged lower file are told'],
  ioctl: ['the flags that lsattr asks for are told for files and directories'],
  directIo: ['O_DIRECT refuses what is not in whole blocks, as the filesystem beneath does'],
  fileHandles: [
    'a handle leads to a lower file, and to its copy in the upper, under whatever name',
    'a handle of a removed file is stale, also where another file has come in its place',
    'a handle leads to a directory, and from there up and down',
    'a handle leads to a file of several names after one of them is gone',
    'a handle of an earlier mount is stale, and leads to no other file',
  ],
  removedDirectories: [
    'a removed directory that is open is stat-ed and changed',
    'a removed lower directory that is open is stat-ed and changed',
    'a removed directory that is still open lists as empty',
    'a directory that is open while another is renamed over it is still there for who has it',
    'rmdir of a directory that is the working directory leaves it usable as such',
  ],
};

/** Why a row is left out, by its name. */
export const FUSE_NATIVE_EXCLUSIONS: ReadonlyMap<string, string> = new Map(
  Object.entries(EXCLUDED).flatMap(([limit, rows]) => rows.map((row) => [row, LIMITS[limit as Limit]] as const)),
);
