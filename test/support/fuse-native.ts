import { type Limit, LIMITS } from '../../fs/libfuse/limits.ts';

/** Rows of the conformance suite that cannot hold behind fuse-native, by the limit that stands against them. */
const EXCLUDED: Readonly<Partial<Record<Limit, readonly string[]>>> = {
  acl: ['an access ACL lets a named user in, and chmod changes its mask'],
  privileges: ['fallocate by a user outside the file’s group clears setgid, by a member not'],
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
  holes: ['SEEK_DATA and SEEK_HOLE tell the holes of a file', 'holes of an unchanged lower file are told'],
  fileHandles: [
    'a handle leads to a lower file, and to its copy in the upper, under whatever name',
    'a handle of a removed file is stale, also where another file has come in its place',
    'a handle leads to a directory, and from there up and down',
    'a handle leads to a file of several names after one of them is gone',
    'a handle of an earlier mount is stale, and leads to no other file',
  ],
  removedDirectories: [
    'an open file outlives its directory, stat-ed and changed',
    'a removed lower directory that is open is stat-ed and changed',
    'a removed directory that is still open lists as empty',
    'a removed directory that is open is stat-ed and changed',
    'a directory that is open while another is renamed over it is still there for who has it',
    'rmdir of a directory that is the working directory leaves it usable as such',
  ],
};

/** Why a row is left out, by its name. */
export const FUSE_NATIVE_EXCLUSIONS: ReadonlyMap<string, string> = new Map(
  Object.entries(EXCLUDED).flatMap(([limit, rows]) => rows.map((row) => [row, LIMITS[limit as Limit]] as const)),
);
