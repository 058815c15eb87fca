import { lstatSync, readdirSync, readFileSync, renameSync, unlinkSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Branch } from './branches.ts';
import { removeRuntimeDirectory, runtimeDirectories, runtimeDirectory } from './runtime-directory.ts';
import { type ByteString, toBytes } from './sys/text.ts';
import { AT_FDCWD, O_CLOEXEC, O_CREAT, O_NOFOLLOW, O_RDWR, O_TRUNC } from './sys/constants.ts';
import { check, ENOENT, SystemError } from './sys/errno.ts';
import { close, flock, LOCK_EX, LOCK_NB, LOCK_SH, openat, write } from './sys/file.ts';
import { Memory } from './sys/memory.ts';

/** What a state file says of a mount. Paths are bytes, one character each. */
export interface MountState {
  readonly mountpoint: ByteString;
  /** `major:minor` of the mounted filesystem. */
  readonly device: string;
  readonly pid: number;
  readonly branches: readonly Branch[];
  readonly readOnly: boolean;
  /** Path of the control socket. */
  readonly socket: string;
  /** Milliseconds since 1970. */
  readonly started: number;
}

/** What a state is made of. */
export type NewMount = Omit<MountState, 'socket' | 'started'>;

/** A mount that a state file tells of. */
export interface RegisteredMount extends MountState {
  readonly file: string;
  /** Its daemon runs. */
  readonly alive: boolean;
}

// A daemon holds its state file locked for as long as it lives: a lock needs no process id, which another process may
// bear later, or another pid namespace not know.

/** The state file of a mount that this process serves. */
export class Registration {
  readonly state: MountState;
  readonly #file: string;
  readonly #fd: number;

  private constructor(state: MountState, file: string, fd: number) {
    this.state = state;
    this.#file = file;
    this.#fd = fd;
  }

  /** Undefined where there is no directory for it: the mount works without. */
  static create(state: NewMount): Registration | undefined {
    for (let attempt = 1; ; attempt++) {
      const directory = runtimeDirectory();
      if (directory === undefined) return undefined;
      try {
        return Registration.#createIn(directory, state);
      } catch (error) {
        // A mount that ended has taken the directory with it, between our look and our file.
        const isGone = error instanceof SystemError && error.errno === ENOENT;
        if (!isGone || attempt === ATTEMPTS) throw error;
      }
    }
  }

  static #createIn(directory: string, state: NewMount): Registration {
    // The kernel gives a device's number anew as soon as its mount is gone, while its daemon still tidies up.
    const base = `${directory}/${state.device.replace(':', '-')}-${process.pid}`;
    const whole: MountState = { ...state, socket: `${base}.sock`, started: Date.now() };
    const fd = writeLocked(`${base}.new`, `${JSON.stringify(whole)}\n`);
    renameSync(`${base}.new`, `${base}.json`);
    return new Registration(whole, `${base}.json`, fd);
  }

  remove(): void {
    removeFiles(this.#file, this.state.socket);
    close(this.#fd);
  }
}

const ATTEMPTS = 10;

/** Milliseconds after which a state file that is not whole is one whose daemon was killed while it wrote it. */
const ABANDONED = 60_000;

function writeLocked(path: string, text: string): number {
  const bytes = new Memory(Buffer.byteLength(text));
  bytes.bytes.write(text);
  const flags = O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC;
  const fd = check(openat(AT_FDCWD, toBytes(path), flags, 0o600), `create ${path}`);
  check(flock(fd, LOCK_EX | LOCK_NB), `lock ${path}`);
  check(write(fd, bytes.address, bytes.size), `write ${path}`);
  return fd;
}

function removeFiles(...paths: readonly string[]): void {
  for (const path of paths) {
    try {
      unlinkSync(path);
    } catch {
      // Gone already, or the directory with it.
    }
  }
  for (const directory of new Set(paths.map((path) => dirname(path)))) removeRuntimeDirectory(directory);
}

function isLocked(file: string): boolean {
  const fd = openat(AT_FDCWD, toBytes(file), O_RDWR | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return false;
  // Shared, so that two who look at once do not take each other for the daemon.
  const locked = flock(fd, LOCK_SH | LOCK_NB) < 0;
  close(fd);
  return locked;
}

function isState(value: unknown): value is MountState {
  if (typeof value !== 'object' || value === null) return false;
  const state = value as Partial<Record<keyof MountState, unknown>>;
  return (
    typeof state.mountpoint === 'string' &&
    typeof state.device === 'string' &&
    typeof state.socket === 'string' &&
    typeof state.started === 'number' &&
    Array.isArray(state.branches)
  );
}

function readState(file: string): RegisteredMount | undefined {
  try {
    const state: unknown = JSON.parse(readFileSync(file, 'utf8'));
    return isState(state) ? { ...state, file, alive: isLocked(file) } : undefined;
  } catch {
    return undefined;
  }
}

/** None where the directory has gone with its last mount. */
function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
    throw error;
  }
}

function isAbandoned(file: string): boolean {
  const stats = lstatSync(file, { throwIfNoEntry: false });
  return stats !== undefined && Date.now() - stats.mtimeMs > ABANDONED && !isLocked(file);
}

/** All state files of this user's, the oldest mount first. Those that never became whole are removed. */
export function readRegistry(): RegisteredMount[] {
  const all = runtimeDirectories().flatMap((directory) => namesIn(directory).map((name) => `${directory}/${name}`));
  removeFiles(...all.filter((file) => file.endsWith('.new') && isAbandoned(file)));
  const files = all.filter((file) => file.endsWith('.json'));
  const mounts = files.map(readState).filter((state) => state !== undefined);
  return mounts.sort((left, right) => left.started - right.started);
}

/** Removes what a daemon left behind that ended without its last words. */
export function forgetMount(mount: RegisteredMount): void {
  removeFiles(mount.file, mount.socket);
}
