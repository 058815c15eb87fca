import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { FakeRegistry } from '../image/fake-registry.ts';
import { firstMissing, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';
import { ended, Lamina, recipe } from './lamina.ts';

const missing = firstMissing(isRoot(), hasFuseDevice());

describe.skipIf(missing)(titled('lamina run --pull', missing), () => {
  let maker: Lamina;

  beforeAll(async () => {
    maker = new Lamina();
    await maker.load(recipe('one', [], { Env: ['PATH=/bin', 'VERSION=one'] }));
    await maker.load(recipe('two', [], { Env: ['PATH=/bin', 'VERSION=two'] }));
  });

  afterAll(() => maker.close());

  /** A registry with the image `one`, and an empty store. */
  async function setUp(): Promise<{ lamina: Lamina; remote: FakeRegistry; name: string }> {
    const remote = await FakeRegistry.open();
    const name = `${remote.host}/tiny:1`;
    await push('one', name);
    remote.requests.length = 0;
    const lamina = new Lamina();
    onTestFinished(() => lamina.close());
    return { lamina, remote, name };
  }

  async function push(image: string, name: string): Promise<void> {
    const { code, stderr } = await maker.call(['push', image, name]);
    expect(code, stderr).toBe(0);
  }

  const VERSION = ['sh', '-c', 'echo $VERSION'];

  test('missing: takes an image that is not there, says so on standard error, and asks no more then', async () => {
    const { lamina, remote, name } = await setUp();
    const first = await lamina.call(['run', '--rm', name, ...VERSION]);
    expect(first.stdout).toBe('one\n');
    expect(first.stderr).toMatch(/^lamina: pulling image .*\n[0-9a-f]{12}: fetched .*\n$/);
    const asked = remote.requests.length;
    expect(asked).toBeGreaterThan(2);
    expect(await lamina.call(['run', '--rm', name, ...VERSION])).toEqual({ code: 0, stdout: 'one\n', stderr: '' });
    expect(remote.requests).toHaveLength(asked);
  });

  test('always: asks each time, fetches what is new alone', async () => {
    const { lamina, remote, name } = await setUp();
    const run = ['run', '--rm', '--quiet', '--pull', 'always', name, ...VERSION];
    expect(await lamina.call(run)).toEqual({ code: 0, stdout: 'one\n', stderr: '' });
    const fetched = remote.blobRequests.length;
    expect(await lamina.call(run)).toEqual({ code: 0, stdout: 'one\n', stderr: '' });
    expect(remote.blobRequests).toHaveLength(fetched);
    await push('two', name);
    remote.requests.length = 0;
    expect(await lamina.call(run)).toEqual({ code: 0, stdout: 'two\n', stderr: '' });
    // The layers are the same; the configuration is new.
    expect(remote.blobRequests).toHaveLength(1);
  });

  test('never: asks no registry', async () => {
    const { lamina, remote, name } = await setUp();
    const { code, stderr } = await lamina.call(['run', '--rm', '--pull=never', name, ...VERSION]);
    expect(code).toBe(125);
    expect(stderr).toMatch(/is not in the store/);
    expect(remote.requests).toEqual([]);
  });

  test('a digest holds the image to it', async () => {
    const { lamina, remote } = await setUp();
    const digest = [...remote.manifests.keys()].find((key) => key.startsWith('sha256:')) ?? '';
    const pinned = `${remote.host}/tiny@${digest}`;
    expect((await lamina.call(['run', '--rm', pinned, ...VERSION])).stdout).toBe('one\n');
    const asked = remote.requests.length;
    expect((await lamina.call(['run', '--rm', pinned, ...VERSION])).stdout).toBe('one\n');
    expect(remote.requests).toHaveLength(asked);
    const other = `sha256:${'1'.repeat(64)}`;
    const manifest = remote.manifests.get('1');
    if (manifest !== undefined) remote.manifests.set(other, manifest);
    const { code, stderr } = await lamina.call(['run', '--rm', `${remote.host}/tiny@${other}`, ...VERSION]);
    expect(code).toBe(125);
    expect(stderr).toMatch(/has another content/);
  });

  test('--platform: what the store has for another platform will not do', async () => {
    const { lamina, remote, name } = await setUp();
    await lamina.call(['pull', name]);
    remote.requests.length = 0;
    const refused = await lamina.call(['run', '--rm', '--platform', 'linux/s390x', name, ...VERSION]);
    expect(refused.code).toBe(125);
    expect(refused.stderr).toMatch(/is for linux\/.*, not for linux\/s390x/);
    expect(remote.requests.length).toBeGreaterThan(0);
    const never = await lamina.call(['run', '--rm', '--pull=never', '--platform', 'linux/s390x', name, ...VERSION]);
    expect(never.stderr).toMatch(/is for linux\/.*, not for linux\/s390x/);
  });

  test('a pull that fails ends with 125 and leaves no container', async () => {
    const { lamina, remote, name } = await setUp();
    remote.manifests.clear();
    const { code, stderr } = await lamina.call(['run', '--rm', name, ...VERSION]);
    expect(code).toBe(125);
    expect(stderr).toMatch(/cannot pull .*tiny:1: .* has no manifest 1/);
    expect((await lamina.call(['ps', '-aq'])).stdout).toBe('');
  });

  test('a signal ends it while the image comes', async () => {
    const { lamina, remote, name } = await setUp();
    const asked = new Promise<void>((resolve) => {
      remote.behave = (request) => {
        if (request.url?.includes('/blobs/') !== true) return false;
        resolve();
        return true;
      };
    });
    const child = lamina.start(['run', '--rm', name, ...VERSION]);
    const end = ended(child);
    await asked;
    child.kill('SIGINT');
    const { code, stderr } = await end;
    expect(code).toBe(130);
    expect(stderr).toMatch(/ended by a signal/);
    expect(readdirSync(join(lamina.root, 'layers'))).toEqual([]);
  });
});
