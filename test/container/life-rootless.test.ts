import { readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ContainerState } from '../../runner/container/container.ts';
import { firstMissing, has, hasFuseDevice, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';
import { Lamina, type User, makeUser, processesOf, recipe, removeUser } from './lamina.ts';

// Root, so that ordinary users can be made and become.
const missing = firstMissing(
  isRoot(),
  hasFuseDevice(),
  hasUserNamespaces(),
  ...['useradd', 'setpriv', 'newuidmap'].map(has),
);

const LONG = { timeout: 20_000 };

describe.skipIf(missing)(titled('containers of an ordinary user with a supervisor of their own', missing), () => {
  let user: User;
  let lamina: Lamina;

  beforeAll(async () => {
    user = makeUser('lamina-life', { start: 710_000_000, count: 65_536 });
    lamina = new Lamina(user);
    await lamina.load(recipe('tiny'));
  });

  afterAll(async () => {
    await lamina.close();
    removeUser(user.name);
  });

  const containers = (): string[] =>
    readdirSync(join(lamina.root, 'containers')).filter((name) => !name.startsWith('.'));

  test('are run detached, asked, stopped by their mapped user’s own signal, started again, and removed', async () => {
    const script = `echo up; trap 'echo down; exit 4' TERM; echo x >> /tmp/x; while :; do sleep 0.05; done`;
    const made = await lamina.call(['run', '-d', '--name', 'own', '--user', 'guest', 'tiny', 'sh', '-c', script]);
    expect(made).toEqual({ code: 0, stdout: expect.stringMatching(/^[0-9a-f]{64}\n$/) as string, stderr: '' });
    expect((await lamina.call(['ps', '--format', '{{.Names}} {{.State}}'])).stdout).toBe('own running\n');
    await expect.poll(async () => (await lamina.call(['logs', 'own'])).stdout, LONG).toBe('up\n');
    expect(await lamina.call(['stop', 'own'])).toEqual({ code: 0, stdout: 'own\n', stderr: '' });
    expect((await lamina.call(['wait', 'own'])).stdout).toBe('4\n');
    expect(await lamina.call(['start', 'own'])).toEqual({ code: 0, stdout: 'own\n', stderr: '' });
    await expect.poll(async () => (await lamina.call(['logs', 'own'])).stdout, LONG).toBe('up\ndown\nup\n');
    expect(readFileSync(join(lamina.root, 'containers', made.stdout.trim(), 'upper/tmp/x'), 'utf8')).toBe('x\nx\n');
    expect(await lamina.call(['rm', '-f', 'own'])).toEqual({ code: 0, stdout: 'own\n', stderr: '' });
    expect(containers()).toEqual([]);
    expect((await lamina.call(['run', '-d', '--rm', 'tiny', 'missing'])).code).toBe(127);
    expect(containers()).toEqual([]);
  });

  test('are dead when their supervisor is killed, and can be removed', async () => {
    const { stdout } = await lamina.call(['run', '-d', '--name', 'dead', '--user', 'guest', 'tiny', 'sleep', '6789']);
    const path = join(lamina.root, 'containers', stdout.trim(), 'state.json');
    const { supervisor } = JSON.parse(readFileSync(path, 'utf8')) as ContainerState;
    process.kill(supervisor?.pid ?? 0, 'SIGKILL');
    await expect.poll(() => processesOf('sleep 6789'), LONG).toEqual([]);
    expect((await lamina.call(['ps', '-a', '--format', '{{.Status}}'])).stdout).toBe('Dead\n');
    expect(await lamina.call(['rm', 'dead'])).toEqual({ code: 0, stdout: 'dead\n', stderr: '' });
    expect(containers()).toEqual([]);
  });
});
