import { existsSync } from 'node:fs';
import { dirname, basename, join } from 'node:path';
import { ENOENT, SystemError } from '../../../fs/sys/errno.ts';
import { readControl, readTable, writeControl } from './files.ts';
import { type GroupRecord, directoryOf, unifiedOf } from './group.ts';

/** What is written to which file to hold the processes of a group still, and how one sees that they are. */
interface Freezer {
  readonly path: string;
  readonly on: string;
  readonly off: string;
  readonly isFrozen: () => boolean;
}

const PATIENCE_MILLISECONDS = 10_000;
const POLL_MILLISECONDS = 2;

/** Undefined where processes of the group cannot be held still. */
export function freezerOf(record: GroupRecord): Freezer | undefined {
  const unified = unifiedOf(record)?.path;
  if (unified !== undefined && existsSync(join(unified, 'cgroup.freeze'))) {
    const isFrozen = (): boolean => readTable(unified, 'cgroup.events').get('frozen') === 1;
    return { path: join(unified, 'cgroup.freeze'), on: '1', off: '0', isFrozen };
  }
  const path = directoryOf(record, 'freezer')?.path;
  if (path === undefined) return undefined;
  const isFrozen = (): boolean => readControl(path, 'freezer.state') === 'FROZEN';
  return { path: join(path, 'freezer.state'), on: 'FROZEN', off: 'THAWED', isFrozen };
}

export function isFrozen(record: GroupRecord): boolean {
  return freezerOf(record)?.isFrozen() === true;
}

/**
 * Holds all processes of a group still; they are when this resolves.
 *
 * @throws where they do not come to rest, or there is nothing to hold them by.
 */
export async function freeze(record: GroupRecord): Promise<void> {
  const freezer = freezerOf(record);
  if (freezer === undefined) throw new Error('its control group has no freezer');
  write(freezer, freezer.on);
  for (const deadline = Date.now() + PATIENCE_MILLISECONDS; !freezer.isFrozen();) {
    if (Date.now() > deadline) {
      write(freezer, freezer.off);
      throw new Error('its processes do not come to rest');
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
  }
}

/** As `thaw`; they go on when this resolves. */
export async function thawed(record: GroupRecord): Promise<void> {
  thaw(record);
  while (isFrozen(record)) await new Promise((resolve) => setTimeout(resolve, POLL_MILLISECONDS));
}

/** Lets them go on. A group that is gone needs nothing. */
export function thaw(record: GroupRecord): void {
  const freezer = freezerOf(record);
  if (freezer !== undefined) write(freezer, freezer.off);
}

function write({ path }: Freezer, value: string): void {
  const written = writeControl(dirname(path), basename(path), value);
  if (written < 0 && written !== -ENOENT) throw new SystemError(`write ${value} to ${path}`, written);
}
