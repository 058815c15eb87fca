import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ContainerState } from '../../runner/container/container.ts';
import { firstMissing, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';
import { Lamina, ended, recipe } from './lamina.ts';

const missing = firstMissing(isRoot(), hasFuseDevice());

const WORK = 'i=0; while [ $i -lt 40 ]; do echo $i > /f$i; i=$((i+1)); done';

const LONG = { timeout: 20_000, interval: 1 };

describe.skipIf(missing)(titled('A container whose supervisor is killed', missing), () => {
  let lamina: Lamina;

  beforeAll(async () => {
    lamina = new Lamina();
    await lamina.load(recipe('tiny'));
  });

  afterAll(() => lamina.close());

  const mounts = (): string => readFileSync('/proc/self/mountinfo', 'utf8');
  const containers = (): string[] => {
    const directory = join(lamina.root, 'containers');
    return existsSync(directory) ? readdirSync(directory).filter((name) => /^[0-9a-f]{64}$/.test(name)) : [];
  };
  const stateOf = (id: string): ContainerState => {
    try {
      return JSON.parse(readFileSync(join(lamina.root, 'containers', id, 'state.json'), 'utf8')) as ContainerState;
    } catch {
      return { status: 'created' };
    }
  };

  /** The container that is being made, as soon as it has a supervisor. */
  async function supervised(): Promise<{ readonly id: string; readonly pid: number }> {
    await expect.poll(() => stateOf(containers()[0] ?? '').supervisor, LONG).toBeDefined();
    const [id = ''] = containers();
    return { id, pid: stateOf(id).supervisor?.pid ?? 0 };
  }

  const isThere = (pid: number): boolean => {
    try {
      return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'latin1'));
    } catch {
      return false;
    }
  };

  /** Holds what is left against what there should be; the container can be removed without force. */
  async function expectTruth(id: string, where: string): Promise<void> {
    const { init, supervisor } = stateOf(id);
    await expect.poll(() => isThere(supervisor?.pid ?? 0), { ...LONG, message: where }).toBe(false);
    // The kernel ends it with its supervisor, but not in the same instant.
    await expect.poll(() => isThere(init?.pid ?? 0), { ...LONG, message: where }).toBe(false);
    const { stdout } = await lamina.call(['ps', '-a', '--format', '{{.Status}}']);
    expect({ where, stdout }).toEqual({
      where,
      stdout: expect.stringMatching(/^(?:Dead|Exited \(\d+\) .* ago)\n$/) as string,
    });
    const removed = await lamina.call(['rm', id]);
    expect({ where, ...removed }).toEqual({ where, code: 0, stdout: `${id}\n`, stderr: '' });
    expect(mounts()).not.toContain(id);
    expect(execFileSync('find', ['/sys/fs/cgroup', '-maxdepth', '6', '-name', id], { encoding: 'utf8' })).toBe('');
    expect(containers()).toEqual([]);
  }

  /** What a supervisor is at when it is killed. */
  const POINTS: Readonly<Record<string, (id: string) => boolean>> = {
    'it has taken the container': () => true,
    'the union is mounted': (id) => mounts().includes(id),
    'the command runs': (id) => stateOf(id).status === 'running',
    'the command has ended': (id) => !isThere(stateOf(id).init?.pid ?? 0),
  };

  test.each([
    ['-d', '-d'],
    ['in the foreground', '--sig-proxy=true'],
  ])('is dead, can be removed, and leaves nothing: run %s', async (_, flag) => {
    for (const [where, isThereYet] of Object.entries(POINTS)) {
      const client = ended(lamina.start(['run', flag, 'tiny', 'sh', '-c', `${WORK}; sleep 0.3`]));
      const { id, pid } = await supervised();
      await expect.poll(() => isThereYet(id), { ...LONG, message: where }).toBe(true);
      process.kill(pid, 'SIGKILL');
      const { code, stderr } = await client;
      // Whose supervisor is killed before the command runs, has not started it, and is told so.
      if (flag === '-d' && code !== 0)
        expect({ code, stderr }).toEqual({ code: 125, stderr: expect.stringContaining('supervisor') as string });
      await expectTruth(id, where);
    }
  });

  test('is started again on its files, and keeps what was synced', async () => {
    await lamina.call(['run', '-d', '--name', 'kept', 'tiny', 'sh', '-c', 'echo x >> /x; sync; exec sleep 4567']);
    const { id, pid } = await supervised();
    const upper = join(lamina.root, 'containers', id, 'upper/x');
    await expect.poll(() => existsSync(upper) && readFileSync(upper, 'utf8'), LONG).toBe('x\n');
    process.kill(pid, 'SIGKILL');
    await expect.poll(async () => (await lamina.call(['ps', '-a', '--format', '{{.State}}'])).stdout).toBe('dead\n');
    expect(await lamina.call(['start', 'kept'])).toEqual({ code: 0, stdout: 'kept\n', stderr: '' });
    await expect.poll(() => readFileSync(upper, 'utf8'), LONG).toBe('x\nx\n');
    expect((await lamina.call(['rm', '-f', 'kept'])).code).toBe(0);
    expect(mounts()).not.toContain(lamina.root);
  });
});
