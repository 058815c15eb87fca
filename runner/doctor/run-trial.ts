import { spawnSync } from 'node:child_process';
import { mkdtempSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../../fs/sys/constants.ts';
import { close, openat } from '../../fs/sys/file.ts';
import { removeTree } from '../../fs/sys/remove-tree.ts';
import { toBytes } from '../../fs/index.ts';
import { findProgram } from '../container/program.ts';
import { type Trial, type TrialInput } from './trial.ts';

const PROGRAM = fileURLToPath(new URL('./trial/main.js', import.meta.url));

/**
 * Tries what a container needs, in namespaces of its own and in a directory of the store that is removed again.
 *
 * @param storeRoot made already.
 * @returns why nothing could be tried, where the namespaces cannot be had.
 */
export function runTrial(storeRoot: string, isRootless: boolean): Trial | string {
  const directory = mkdtempSync(join(storeRoot, 'tmp', 'doctor-'));
  try {
    const input: TrialInput = { directory, isRootless };
    const { status, stdout, stderr } = inNamespaces(isRootless, ['--mount'], [PROGRAM, JSON.stringify(input)]);
    if (status === 0) return JSON.parse(stdout) as Trial;
    return stderr.trim().split('\n')[0] || `the trial ended with ${status ?? 'a signal'} and no word`;
  } finally {
    remove(directory);
  }
}

/** Whether a new pid namespace can have a /proc of its own. */
export function canMountProc(isRootless: boolean): boolean {
  const flags = ['--mount', '--pid', '--fork', '--mount-proc'];
  return inNamespaces(isRootless, flags, ['-e', '0']).status === 0;
}

function inNamespaces(isRootless: boolean, flags: readonly string[], args: readonly string[]) {
  const user = isRootless ? ['--user', '--map-root-user'] : [];
  return spawnSync(findProgram('unshare', 'util-linux'), [...user, ...flags, process.execPath, ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

function remove(directory: string): void {
  const parent = openat(AT_FDCWD, toBytes(dirname(directory)), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (parent < 0) return;
  removeTree(parent, directory.slice(dirname(directory).length + 1));
  close(parent);
}
