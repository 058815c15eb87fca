import { lstatSync, mkdirSync, readFileSync, rmdirSync } from 'node:fs';

/**
 * The user's id outside of a user namespace that maps it (podman runs a mount program as uid 0 of one), so that inside
 * and outside agree on a directory's name.
 */
function outerUid(): number {
  const uid = process.geteuid?.() ?? 0;
  const lines = readFileSync('/proc/self/uid_map', 'utf8').trim().split('\n');
  for (const line of lines) {
    const [inside = 0, outside = 0, length = 0] = line.trim().split(/\s+/).map(Number);
    if (uid >= inside && uid < inside + length) return outside + (uid - inside);
  }
  return uid;
}

/** Where the state of mounts may be, in the order of preference. */
export function possibleRuntimeDirectories(): string[] {
  const { XDG_RUNTIME_DIR: runtime } = process.env;
  const directories: string[] = [];
  if (runtime?.startsWith('/') === true) directories.push(`${runtime}/lamina`);
  if (process.geteuid?.() === 0) directories.push('/run/lamina');
  directories.push(`/tmp/lamina-${outerUid()}`);
  return directories;
}

/** Ours, and closed to others: in /tmp anybody may have made it. */
function isOurs(directory: string): boolean {
  const stats = lstatSync(directory, { throwIfNoEntry: false });
  return stats?.isDirectory() === true && stats.uid === process.geteuid?.() && (stats.mode & 0o077) === 0;
}

function prepare(directory: string): boolean {
  try {
    mkdirSync(directory, { mode: 0o700 });
  } catch {
    // It exists, or cannot be made: what is there is judged next.
  }
  return isOurs(directory);
}

/** The directory for a new mount's state; undefined where none can be had. */
export function runtimeDirectory(): string | undefined {
  return possibleRuntimeDirectories().find(prepare);
}

/** Removes one that no mount uses any longer; leaves what is not ours to make, and what has something in it. */
export function removeRuntimeDirectory(directory: string): void {
  if (!possibleRuntimeDirectories().includes(directory)) return;
  try {
    rmdirSync(directory);
  } catch {
    // Another mount uses it, or has removed it.
  }
}

/** Directories that may hold the state of our mounts. */
export function runtimeDirectories(): string[] {
  return possibleRuntimeDirectories().filter(isOurs);
}
