import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { findProgram, lookForProgram } from '../container/program.ts';
import { renamingExtraCertificates } from '../extra-certificates.ts';
import { Scratch } from '../image/scratch.ts';
import { type Trial, type TrialInput } from './trial.ts';

const PROGRAM = fileURLToPath(new URL('./trial/main.js', import.meta.url));

/**
 * Tries what a container needs, in namespaces of its own and in a directory of the store that is removed again.
 *
 * @param storeRoot made already.
 * @returns why nothing could be tried, where the namespaces cannot be had.
 */
export function runTrial(storeRoot: string, isRootless: boolean): Trial | string {
  if (lookForProgram('unshare') === undefined) return 'unshare is not installed';
  const scratch = new Scratch(join(storeRoot, 'tmp'), join(storeRoot, 'lock'));
  try {
    const input: TrialInput = { directory: scratch.next(), isRootless };
    mkdirSync(input.directory);
    const { status, stdout, stderr } = inNamespaces(isRootless, ['--mount'], [PROGRAM, JSON.stringify(input)]);
    if (status === 0) return JSON.parse(stdout) as Trial;
    return stderr.trim().split('\n')[0] || `the trial ended with ${status ?? 'a signal'} and no word`;
  } finally {
    scratch.remove();
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
    env: renamingExtraCertificates(process.env),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}
