import { existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { describeErrno } from '../../../fs/sys/errno.ts';
import { close } from '../../../fs/sys/file.ts';
import { type Limits, type ResourceOptions, isLimited } from '../options/resources.ts';
import { delegatedSite } from './delegation.ts';
import { restrictDevices } from './device-rules.ts';
import { removeGroup, writeControlAsync } from './files.ts';
import { type GroupDirectory, type GroupRecord, setLimits, settingsFor } from './group.ts';
import { findHierarchies, ownView } from './hierarchies.ts';
import { makeGroups } from './make.ts';
import { sitesOf } from './sites.ts';
import { removeGroups } from './teardown.ts';
import { hasRunOutOfMemory } from './usage.ts';
import { removeFile } from '../../image/remove-file.ts';

const RECORD = 'cgroup.json';

/**
 * The groups of a container, as whoever runs it has noted them; undefined where it has none.
 *
 * @param directory the container's.
 */
export function readGroups(directory: string): GroupRecord | undefined {
  try {
    return JSON.parse(readFileSync(join(directory, RECORD), 'utf8')) as GroupRecord;
  } catch {
    return undefined;
  }
}

/**
 * Kills what a container whose lamina was killed has left in its groups, and removes them.
 *
 * @param directory the container's.
 */
export async function removeLeftGroups(id: string, directory: string, cgroupParent: string | undefined): Promise<void> {
  await removeGroups(readGroups(directory) ?? unnotedGroups(id, cgroupParent));
  removeFile(join(directory, RECORD));
}

/** What was made by one who was killed before it was noted. */
function unnotedGroups(id: string, cgroupParent: string | undefined): GroupRecord {
  const sites = sitesOf(findHierarchies(ownView()), cgroupParent);
  const directories = sites.flatMap(({ hierarchy: { version, controllers, mountpoint }, parents }) =>
    parents.map((parent) => ({ version, controllers, path: join(parent, id), hierarchy: basename(mountpoint) })),
  );
  return { directories: directories.filter(({ path }) => existsSync(path)) };
}

/** A control group that is being made. */
export interface GroupBeginning {
  /** Settled when the kernel has been asked to move the process there, for which it takes its time, or there is no group. */
  readonly made: Promise<unknown>;
  /**
   * Resolves with undefined where there is to be no group, or there can be none and nothing was to be limited. Rejects
   * where a limit that was asked for cannot be set: then nothing is left of the group.
   */
  readonly joined: Promise<Cgroup | undefined>;
}

/** The control group of a container that we run. */
export class Cgroup {
  readonly record: GroupRecord;
  readonly #locks: readonly number[];
  #recordFile: string | undefined;
  #hasEnded = false;

  private constructor(record: GroupRecord, locks: readonly number[]) {
    this.record = record;
    this.#locks = locks;
  }

  /**
   * Puts a container's first process, before there are others, into a group of its own, limited as asked. It is to be noted
   * when the container's directory is there, and ended in any case.
   *
   * @param id the container's.
   * @param privileged it may use all devices.
   */
  static begin(id: string, pid: number, options: ResourceOptions, privileged: boolean): GroupBeginning {
    const made = Cgroup.#make(id, pid, options, privileged);
    return { made, joined: made.then((making) => making?.joined) };
  }

  static async #make(
    id: string,
    pid: number,
    options: ResourceOptions,
    privileged: boolean,
  ): Promise<{ readonly joined: Promise<Cgroup | undefined> } | undefined> {
    if (options.cgroups === 'disabled') return undefined;
    const { limits, cgroupParent } = options;
    const delegated = cgroupParent === undefined ? await delegatedSite(id, pid, isLimited(limits)) : undefined;
    const sites = delegated === undefined ? sitesOf(findHierarchies(ownView()), cgroupParent) : [delegated];
    const { record, locks } = makeGroups(sites, { id, isControlled: delegated !== undefined || isLimited(limits) });
    const cgroup = new Cgroup(record, locks);
    return cgroup.#orEnd(() => {
      if (cgroupParent !== undefined && locks.length === 0)
        throw new Error(`no control group can be made in ${cgroupParent}`);
      setLimits(record, limits);
      if (!privileged) restrictDevices(record, options.devices ?? [], options.givenDevices ?? []);
      return { joined: cgroup.#join(pid, limits) };
    });
  }

  async #join(pid: number, limits: Limits): Promise<Cgroup | undefined> {
    const joined = await this.#orEnd(async () => new Cgroup(await joinGroups(this.record, pid, limits), this.#locks));
    if (joined.record.directories.length > 0) return joined;
    await joined.end();
    return undefined;
  }

  async #orEnd<T>(attempt: () => T | Promise<T>): Promise<T> {
    try {
      return await attempt();
    } catch (error) {
      // What cannot be undone either, as where there are no descriptors left, is not why.
      await this.end().catch(() => undefined);
      throw error;
    }
  }

  /**
   * Writes down where it is, for whoever finds the container when we have been killed.
   *
   * @param directory the container's.
   */
  note(directory: string): void {
    const path = join(directory, RECORD);
    writeFileSync(`${path}.new`, JSON.stringify(this.record), { mode: 0o600 });
    renameSync(`${path}.new`, path);
    this.#recordFile = path;
  }

  get hasRunOutOfMemory(): boolean {
    return hasRunOutOfMemory(this.record);
  }

  /** Kills what is left in the group and removes it, once. */
  async end(): Promise<void> {
    if (this.#hasEnded) return;
    this.#hasEnded = true;
    try {
      await removeGroups(this.record);
      if (this.#recordFile !== undefined) removeFile(this.#recordFile);
    } finally {
      for (const lock of this.#locks) close(lock);
    }
  }
}

/**
 * Moves a process with all its threads into a container's groups; answers those that took it.
 *
 * @throws where one does not in which something is limited that was asked for.
 */
async function joinGroups({ directories }: GroupRecord, pid: number, limits: Limits): Promise<GroupRecord> {
  // At once: most of each is a wait for a grace period of RCU, which all of them can wait for together.
  const moves = await Promise.all(
    directories.map(async (directory) => {
      return { directory, moved: await writeControlAsync(directory.path, 'cgroup.procs', String(pid)) };
    }),
  );
  const joined: GroupDirectory[] = [];
  for (const { directory, moved } of moves) {
    if (moved === 0) {
      joined.push(directory);
      continue;
    }
    const flag = limitOf(directory, limits);
    const why = `no process can be moved to ${directory.path}: ${describeErrno(moved)}`;
    if (flag !== undefined) throw new Error(`${flag} cannot be set: ${why}`);
    removeGroup(directory.path);
  }
  return { directories: joined };
}

/** What was asked for that a directory's group limits. */
function limitOf(directory: GroupDirectory, limits: Limits): string | undefined {
  const settings = settingsFor({ directories: [directory] }, limits);
  const asked = settings.filter(({ isOptional }) => isOptional !== true);
  return asked.find(({ controller }) => directory.controllers.includes(controller))?.flag;
}
