import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

/** System calls by name. */
export type SystemCalls = Readonly<Record<string, number>>;

/** Counts from what `strace -c -U calls,name` prints. */
export function parseSummary(text: string): SystemCalls {
  const lines = [...text.matchAll(/^\s*(\d+)\s+([a-z_0-9]+)\s*$/gm)].filter(([, , name]) => name !== 'total');
  return Object.fromEntries(lines.map(([, count, name]) => [name ?? '', Number(count)]));
}

async function isTraced(pid: number): Promise<boolean> {
  return !/^TracerPid:\s+0$/m.test(await readFile(`/proc/${pid}/status`, 'utf8'));
}

/** What all threads of a process call while `work` is done, which strace makes many times slower. */
export async function systemCallsDuring(
  pid: number,
  output: string,
  work: () => Promise<unknown>,
): Promise<SystemCalls> {
  const parameters = ['-c', '-f', '-U', 'calls,name', '-o', output, '-p', String(pid)];
  const strace = spawn('strace', parameters, { stdio: ['ignore', 'ignore', 'pipe'] });
  let messages = '';
  strace.stderr.setEncoding('utf8').on('data', (text: string) => (messages += text));
  const end = once(strace, 'exit');
  await once(strace, 'spawn');
  while (!(await isTraced(pid))) {
    if (strace.exitCode !== null) throw new Error(`strace -p ${pid}: ${messages.trim()}`);
    await sleep(5);
  }
  try {
    await work();
  } finally {
    strace.kill('SIGINT');
    await end;
  }
  return parseSummary(await readFile(output, 'utf8'));
}
