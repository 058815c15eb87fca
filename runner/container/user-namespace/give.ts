import { type Stats, chownSync, lstatSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { mappedRanges } from '../../../fs/sys/id-maps.ts';
import { type Container } from '../container.ts';
import { ERRORS_FD } from './launch.ts';
import { type IdMappings, inRanges, isSeen, mapText, outsideOf } from './id-mappings.ts';

/**
 * Gives a new user namespace its ids, which can be done once.
 *
 * @param pid of a process in it.
 */
export function giveIds(pid: number | undefined, { users, groups }: IdMappings): void {
  try {
    const ranges = mappedRanges();
    writeFileSync(`/proc/${pid ?? 0}/uid_map`, mapText(inRanges(users, ranges.users)));
    writeFileSync(`/proc/${pid ?? 0}/gid_map`, mapText(inRanges(groups, ranges.groups)));
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`cannot give the container its user ids ${mapText(users).trim().replaceAll('\n', ', ')}: ${why}`, {
      cause: error,
    });
  }
}

/** Files that a container's stage writes, where it has to: they must be its own before it is one of the container's users. */
const ACCOUNT_FILES = ['passwd', 'group'] as const;

/**
 * Gives the container's root the pipes that are its standard files: who has them as /dev/stdout must be able to open them.
 *
 * @param pid of the shell that a stage was started by.
 */
export function giveStandardFiles(pid: number | undefined, mappings: IdMappings): void {
  for (const path of [0, 1, ERRORS_FD].map((fd) => `/proc/${pid ?? 0}/fd/${fd}`)) {
    const file = statSync(path, { throwIfNoEntry: false });
    if (file?.isFIFO() === true) giveTo(path, file, mappings);
  }
}

/** Gives the container's root what is made for a container outside of it: its live files, and volumes that are new. */
export function giveFiles(container: Container, mappings: IdMappings): void {
  const root = rootOf(mappings);
  for (const name of ACCOUNT_FILES) writeFileSync(join(container.files, name), '', { mode: 0o644 });
  for (const name of readdirSync(container.files)) chownSync(join(container.files, name), root.uid, root.gid);
  for (const mount of container.mounts) {
    if (mount.type !== 'volume' || mount.populate !== true) continue;
    // Beside the data lies what is needed to fill it once.
    for (const path of [mount.source, dirname(mount.source), join(dirname(mount.source), 'lock')]) {
      const file = lstatSync(path, { throwIfNoEntry: false });
      if (file !== undefined) giveTo(path, file, mappings);
    }
  }
}

function rootOf({ users, groups }: IdMappings): { readonly uid: number; readonly gid: number } {
  return { uid: outsideOf(users, 0) ?? 0, gid: outsideOf(groups, 0) ?? 0 };
}

/** What is one of the container's users' already stays so. */
function giveTo(path: string, { uid, gid }: Stats, mappings: IdMappings): void {
  if (isSeen(mappings.users, uid) && isSeen(mappings.groups, gid)) return;
  const root = rootOf(mappings);
  chownSync(path, root.uid, root.gid);
}
