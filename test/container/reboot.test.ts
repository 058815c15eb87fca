import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ContainerState } from '../../runner/container/container.ts';
import { identify } from '../../runner/container/process-identity.ts';
import { firstMissing, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';
import { Lamina, recipe } from './lamina.ts';

const missing = firstMissing(isRoot(), hasFuseDevice());
const LONG = { timeout: 20_000 };

const POLICIES = { always: 'always', other: 'unless-stopped', ended: 'unless-stopped', none: 'no' };

describe.skipIf(missing)(titled('containers after the machine has gone down', missing), () => {
  let lamina: Lamina;
  let stranger: ChildProcess;

  beforeAll(async () => {
    lamina = new Lamina();
    await lamina.load(recipe('tiny'));
    // Who has got a container's process ids since.
    stranger = spawn('sleep', ['infinity'], { stdio: 'ignore' });
  });

  afterAll(async () => {
    stranger.kill('SIGKILL');
    await lamina.close();
  });

  async function ok(...args: readonly string[]): Promise<string> {
    const { code, stdout, stderr } = await lamina.call(args);
    expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: '' });
    return stdout.trim();
  }

  const pathOf = (id: string): string => join(lamina.root, 'containers', id, 'state.json');
  const stateOf = (id: string): ContainerState => JSON.parse(readFileSync(pathOf(id), 'utf8')) as ContainerState;
  const names = async (...flags: readonly string[]): Promise<string[]> =>
    (await ok('ps', '-a', ...flags, '--format', '{{.Names}} {{.State}}')).split('\n').sort();

  /** As a machine leaves it that has lost its power, and come up with others under the same numbers. */
  async function goDown(id: string, change: 'boot' | 'start time'): Promise<void> {
    const { supervisor, init, ...state } = stateOf(id);
    for (const { pid } of [supervisor, init].flatMap((identity) => identity ?? [])) {
      process.kill(pid, 'SIGKILL');
      await expect.poll(() => identify(pid), LONG).toBeUndefined();
    }
    const now = identify(stranger.pid ?? 0);
    if (now === undefined) throw new Error('the stranger has ended');
    const then = change === 'boot' ? { ...now, boot: 'another' } : { ...now, startTime: now.startTime - 1 };
    writeFileSync(pathOf(id), JSON.stringify({ ...state, supervisor: then, init: then }));
  }

  test('are dead, not those who have their process ids now; some are to start, each can be started and removed', async () => {
    const made = Object.entries(POLICIES).map(async ([name, policy]) => {
      const command = ['sh', '-c', 'echo x >> /x; exec sleep 1000'];
      const id = await ok('run', '-d', '--stop-timeout', '0', '--restart', policy, '--name', name, 'tiny', ...command);
      return { name, id };
    });
    const containers = await Promise.all(made);
    await ok('stop', 'ended');
    const running = containers.filter(({ name }) => name !== 'ended');
    for (const [at, { id }] of running.entries()) await goDown(id, at === 0 ? 'start time' : 'boot');
    expect(await names()).toEqual(['always dead', 'ended exited', 'none dead', 'other dead']);
    expect(await names('--filter', 'should-start-on-boot=false')).toEqual(['ended exited', 'none dead']);
    // Nobody is asked to end who has nothing to do with it.
    expect(await ok('stop', 'none')).toBe('none');
    const started = (await ok('start', '--all', '--filter', 'should-start-on-boot=true')).split('\n').sort();
    expect(started).toHaveLength(2);
    expect(await names()).toEqual(['always running', 'ended exited', 'none dead', 'other running']);
    const [{ id } = { id: '' }] = containers;
    await expect.poll(() => readFileSync(join(pathOf(id), '../upper/x'), 'utf8'), LONG).toBe('x\nx\n');
    await ok('rm', 'none', 'ended');
    await ok('rm', '-f', 'always', 'other');
    expect(identify(stranger.pid ?? 0)).toBeDefined();
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(lamina.root);
  });
});
