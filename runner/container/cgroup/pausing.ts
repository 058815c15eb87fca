import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { type Container, liveStatus } from '../container.ts';
import { findProgram } from '../program.ts';
import { readGroups } from './cgroup.ts';
import { freeze, freezerOf, isFrozen, thaw, thawed } from './freezer.ts';
import { type GroupRecord } from './group.ts';

/** Whether all processes of a container are held still, by whomever. */
export function isPaused(container: Container): boolean {
  const groups = readGroups(container.directory);
  return groups !== undefined && isFrozen(groups);
}

/** Holds all processes of a container still until `unpauseContainer`. */
export async function pauseContainer(container: Container): Promise<void> {
  const groups = groupsToFreeze(container);
  if (isFrozen(groups)) throw new Error(`container ${container.config.name} is paused already`);
  try {
    await freeze(groups);
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`container ${container.config.name} cannot be paused: ${why}`, { cause: error });
  }
}

export async function unpauseContainer(container: Container): Promise<void> {
  const groups = groupsToFreeze(container);
  if (!isFrozen(groups)) throw new Error(`container ${container.config.name} is not paused`);
  await thawed(groups);
}

function groupsToFreeze(container: Container): GroupRecord {
  const { name } = container.config;
  if (liveStatus(container.readState()) !== 'running') throw new Error(`container ${name} is not running`);
  const groups = readGroups(container.directory);
  if (groups !== undefined && freezerOf(groups) !== undefined) return groups;
  throw new Error(
    `container ${name} cannot be paused: it has no control group with a freezer, since none could be made or it runs with --cgroups=disabled`,
  );
}

/** Lets the processes of a container go on where they are held still. */
export function letGoOn(container: Container): void {
  const groups = readGroups(container.directory);
  if (groups !== undefined && isFrozen(groups)) thaw(groups);
}

// Once its input ends, when it is asked to and when we are killed, the processes go on.
const GUARDIAN = 'while read -r line; do :; done; echo "$1" >"$2"';

/** A group that is held still for as long as this process lives. */
export class FrozenGroup {
  readonly #guardian: ChildProcess;

  private constructor(guardian: ChildProcess) {
    this.#guardian = guardian;
  }

  /** Undefined where the group cannot be held still, or is already, which is not ours to end. */
  static async begin(groups: GroupRecord): Promise<FrozenGroup | undefined> {
    const freezer = freezerOf(groups);
    if (freezer === undefined || freezer.isFrozen()) return undefined;
    // Detached: what the terminal sends to us is not for it.
    const guardian = spawn(findProgram('sh', 'dash'), ['-c', GUARDIAN, 'sh', freezer.off, freezer.path], {
      detached: true,
      stdio: ['pipe', 'ignore', 'ignore'],
      cwd: '/',
    });
    guardian.on('error', () => undefined);
    guardian.stdin.on('error', () => undefined);
    const frozen = new FrozenGroup(guardian);
    try {
      await freeze(groups);
      return frozen;
    } catch (error) {
      await frozen.end();
      throw error;
    }
  }

  async end(): Promise<void> {
    const closed = once(this.#guardian, 'close');
    this.#guardian.stdin?.end();
    await closed;
  }
}
