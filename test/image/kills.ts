import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

import { DIST } from '../support/paths.ts';
import { temporary } from './ground.ts';

const PROGRAM = join(DIST, 'cli/lamina.js');

/** System calls that change what is on disk. */
const CHANGING =
  'rename,renameat,renameat2,unlink,unlinkat,rmdir,mkdir,mkdirat,mknodat,link,linkat,symlink,symlinkat,fsync,syncfs,ftruncate,fchmod,chmod,flock';

/** How many kills of each kind of work: `LAMINA_KILLS`. */
export const KILLS = Number(process.env['LAMINA_KILLS'] ?? 6);

/** Numbers from 0 to 1 that are the same in every run. */
export function randomNumbers(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
}

interface Ended {
  readonly code: number | null;
  readonly stderr: string;
  readonly milliseconds: number;
}

/** Runs the program on a store, below `prefix`; kills it after a time, if one is given. */
export async function runLamina(
  root: string,
  args: readonly string[],
  prefix: readonly string[] = [],
  killAfter = Infinity,
): Promise<Ended> {
  const [file = '', ...rest] = [...prefix, process.execPath, PROGRAM, ...args];
  const begin = performance.now();
  const child = spawn(file, rest, {
    stdio: ['ignore', 'ignore', 'pipe'],
    env: { ...process.env, LAMINA_ROOT: root },
  });
  let stderr = '';
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()));
  const timer = Number.isFinite(killAfter) ? setTimeout(() => child.kill('SIGKILL'), killAfter) : undefined;
  const [code] = (await once(child, 'close')) as [number | null];
  clearTimeout(timer);
  return { code, stderr, milliseconds: performance.now() - begin };
}

/** A call of a run: the how-manyth of its thread's calls of that name. */
interface Call {
  readonly name: string;
  readonly ordinal: number;
}

/** The changing system calls that a run makes. */
export async function changingCalls(
  root: string,
  args: readonly string[],
  success: readonly number[],
): Promise<readonly Call[]> {
  const log = join(temporary(), 'calls');
  const { code, stderr } = await runLamina(root, args, ['strace', '-f', '-qq', '-o', log, '-e', `trace=${CHANGING}`]);
  if (!success.includes(code ?? -1)) throw new Error(`${args.join(' ')} ended with ${code}: ${stderr}`);
  const counts = new Map<string, number>();
  return [...readFileSync(log, 'latin1').matchAll(/^(\d+) +(\w+)\(/gm)].map(([, thread = '', name = '']) => {
    const ordinal = (counts.get(thread + name) ?? 0) + 1;
    counts.set(thread + name, ordinal);
    return { name, ordinal };
  });
}

/** Runs the program, and kills it as it is about to make a call. */
export function killBefore({ name, ordinal }: Call, root: string, args: readonly string[]): Promise<Ended> {
  const inject = `inject=${name}:signal=KILL:when=${ordinal}`;
  return runLamina(root, args, ['strace', '-f', '-qq', '-o', '/dev/null', '-e', `trace=${name}`, '-e', inject]);
}
