import { type Limits } from '../options/resources.ts';
import { describeErrno, ENOENT } from '../../../fs/sys/errno.ts';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { readControl, writeControl } from './files.ts';
import { type CgroupMount } from '../spec.ts';
import { explainMissing } from './missing-controller.ts';
import { type Setting, settingsV1, settingsV2 } from './settings.ts';

/** A container's group in one hierarchy. */
export interface GroupDirectory {
  readonly version: 1 | 2;
  /** What controls it; of a named hierarchy of version 1, its name. */
  readonly controllers: readonly string[];
  readonly path: string;
  /** Name of the hierarchy's mount point. */
  readonly hierarchy: string;
}

/** Directories of a container's groups. JSON-serialisable. */
export interface GroupRecord {
  readonly directories: readonly GroupDirectory[];
}

/** The directory whose group a controller controls. */
export function directoryOf({ directories }: GroupRecord, controller: string): GroupDirectory | undefined {
  return directories.find(({ controllers }) => controllers.includes(controller));
}

/** The directory in the unified hierarchy, with or without controllers. */
export function unifiedOf({ directories }: GroupRecord): GroupDirectory | undefined {
  return directories.find(({ version }) => version === 2);
}

/** How the container is shown its groups. */
export function cgroupMounts({ directories }: GroupRecord): CgroupMount[] {
  const isUnified = directories.every(({ version }) => version === 2);
  return directories.map(({ version, controllers, hierarchy }) =>
    version === 2
      ? { name: isUnified ? '' : hierarchy, type: 'cgroup2', controllers: [] }
      : { name: hierarchy, type: 'cgroup', controllers },
  );
}

/** Limits as files and values, for the hierarchies that there are: of version 2 where no controller is of version 1. */
export function settingsFor({ directories }: GroupRecord, limits: Limits): Setting[] {
  const v1 = directories.filter(({ version }) => version === 1).flatMap(({ controllers }) => controllers);
  if (v1.every((name) => name.includes('='))) return settingsV2(limits);
  return [...settingsV1(limits), ...confSettings(limits)];
}

// On a hybrid machine, the unified hierarchy's own files.
function confSettings({ conf }: Limits): Setting[] {
  return conf === undefined ? [] : settingsV2({ conf });
}

/**
 * Limits what the processes of a group use.
 *
 * @throws where a limit that was asked for cannot be set.
 */
export function setLimits(record: GroupRecord, limits: Limits): void {
  for (const setting of ordered(record, settingsFor(record, limits))) apply(record, setting);
}

const MEMORY = 'memory.limit_in_bytes';
const SWAP = 'memory.memsw.limit_in_bytes';

/** Of version 1, the limit of memory may at no time be above that of memory and swap. */
function ordered(record: GroupRecord, settings: readonly Setting[]): readonly Setting[] {
  const find = (file: string): Setting | undefined => settings.find(({ choices }) => choices[0]?.file === file);
  const [memory, swap] = [find(MEMORY), find(SWAP)];
  if (memory === undefined || swap === undefined) return settings;
  const current = Number(readControl(directoryOf(record, 'memory')?.path ?? '', SWAP));
  const wanted = Number(memory.choices[0]?.value);
  if (wanted >= 0 && !(wanted > current)) return settings;
  return [swap, ...settings.filter((one) => one !== swap)];
}

function apply(record: GroupRecord, { flag, controller, choices, isOptional }: Setting): void {
  const directory = controller === 'cgroup' ? unifiedOf(record) : directoryOf(record, controller);
  if (directory === undefined) {
    if (isOptional === true) return;
    throw new Error(`${flag} cannot be set: ${explainMissing(controller, unifiedOf(record)?.path)}`);
  }
  const choice = choices.find(({ file }) => existsSync(join(directory.path, file)));
  const written = choice === undefined ? -ENOENT : writeControl(directory.path, choice.file, choice.value);
  if (written === 0 || isOptional === true) return;
  const files = choices.map(({ file }) => join(directory.path, file)).join(' nor ');
  if (choice === undefined) throw new Error(`${flag} cannot be set: this kernel has no ${files}`);
  const attempt = `writing ${JSON.stringify(choice.value)} to ${join(directory.path, choice.file)}`;
  throw new Error(`${flag} cannot be set: ${attempt}: ${describeErrno(written)}`);
}
