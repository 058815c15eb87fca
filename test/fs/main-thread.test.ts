import { existsSync, readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { titled } from '../support/requirements.ts';
import { cannotMount, hasEnded, Playground, until } from './playground.ts';

const OPTIONS = ['-o', 'lowerdir=A:B,upperdir=U,workdir=W'];
const LOOKUPS = 500;

/** Asks for names that are not there, one after another, until it is killed. */
const FLOOD = `import os, itertools
for number in itertools.count():
    try: os.stat(f'm/{number}')
    except FileNotFoundError: pass
    except OSError: break
    if number == 1000: print('asking', flush=True)`;

describe.skipIf(cannotMount !== undefined)(titled("a daemon's main thread", cannotMount), () => {
  let ground: Playground;
  beforeEach(() => void (ground = new Playground()));
  afterEach(() => ground.clear());

  function mountOn(mountpoint: string, environment: NodeJS.ProcessEnv = {}): number {
    const { code, stderr } = ground.fuseLaminaIn(environment, ...OPTIONS, mountpoint);
    expect([code, stderr]).toEqual([0, '']);
    return ground.daemonOf(mountpoint);
  }

  const noAccounting = existsSync('/proc/self/io') ? undefined : 'the kernel counts no system calls of threads';
  test.skipIf(noAccounting !== undefined)(titled('serves the mount', noAccounting), () => {
    const pid = mountOn('m');
    const reads = (): number => Number(/syscr: (\d+)/.exec(readFileSync(`/proc/${pid}/task/${pid}/io`, 'utf8'))?.[1]);
    const before = reads();
    for (let number = 0; number < LOOKUPS; number++) expect(existsSync(ground.at('m', `absent${number}`))).toBe(false);
    expect(reads() - before).toBeGreaterThanOrEqual(LOOKUPS);
  });

  test('answers the control socket and signals while requests come without a pause, and ends the mount', async () => {
    const log = ground.at('log');
    const pid = mountOn('m', { LAMINA_LOG: log });
    const users = [1, 2].map(() => ground.start(['python3', '-c', FLOOD]));
    await Promise.all(users.map(({ child }) => new Promise((resolve) => child.stdout?.once('data', resolve))));
    const { code, stdout } = ground.lamina('stats', 'm');
    expect([code, stdout]).toEqual([0, expect.stringMatching(/LOOKUP +\d{4}/)]);
    process.kill(pid, 'SIGUSR1');
    await until('it has logged', () => readFileSync(log, 'utf8').includes('"LOOKUP":'));
    process.kill(pid, 'SIGTERM');
    await until('it has ended', () => hasEnded(pid));
    expect(ground.mounted).toEqual([]);
    for (const { child } of users) child.kill('SIGKILL');
  });

  test('does not serve a mount on the directory for its state, which it could not write to then', () => {
    const pid = mountOn('run');
    expect(readFileSync(ground.at('run/top'), 'utf8')).toBe('top');
    // Its state, which it holds open, is on its mount: to wait for the end of that takes it a while.
    process.kill(pid, 'SIGKILL');
  });
});
