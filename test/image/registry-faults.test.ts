import { randomBytes } from 'node:crypto';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';

import { Lamina, ended } from '../container/lamina.ts';
import { firstMissing, has, isRoot, titled } from '../support/requirements.ts';
import { DockerRegistry } from './docker-registry.ts';
import { FaultyLink } from './faulty-link.ts';
import { run } from './ground.ts';

const missing = firstMissing(isRoot(), has('docker-registry'), has('skopeo'));
const MIB = 1 << 20;
/** Bytes of the layer, which nothing compresses. */
const SIZE = 8 * MIB;

/** What a store has of images. */
function contents(lamina: Lamina): string[] {
  const names = ['layers', 'blobs/sha256', 'tmp'].map((name) => join(lamina.root, name));
  return names.filter((name) => existsSync(name)).flatMap((name) => readdirSync(name));
}

describe.skipIf(missing)(titled('lamina and a docker-registry that fails', missing), () => {
  let maker: Lamina;

  beforeAll(async () => {
    maker = new Lamina();
    const random = { type: 'file', name: 'random', content: randomBytes(SIZE), mode: 0o644 } as const;
    const config = { Env: [], Cmd: ['/random'] };
    await maker.load({ name: 'large', layers: [{ title: 'random', entries: [random] }], config });
  });

  afterAll(() => maker.close());

  async function setUp(): Promise<{ registry: DockerRegistry; link: FaultyLink; name: string; lamina: Lamina }> {
    const registry = await DockerRegistry.open();
    const link = await FaultyLink.open(registry.host);
    const lamina = new Lamina();
    onTestFinished(() => lamina.close());
    return { registry, link, name: `${link.host}/team/large:1`, lamina };
  }

  /** Puts the image into the registry, past the link. */
  async function fill({ host }: DockerRegistry): Promise<void> {
    const { code, stderr } = await maker.call(['push', '-q', 'large', `${host}/team/large:1`]);
    expect(code, stderr).toBe(0);
  }

  /** Kills the registry when so many bytes have passed; settled when it is gone. */
  function killAfter(
    link: FaultyLink,
    direction: 'up' | 'down',
    bytes: number,
    registry: DockerRegistry,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      link.pass = async (chunk, way) => {
        if (way !== direction || link.passed[direction] < bytes) return chunk;
        link.pass = (rest) => rest;
        await registry.kill().then(resolve, reject);
        return undefined;
      };
    });
  }

  function digestIn(registry: DockerRegistry): string {
    const shown = run('skopeo', 'inspect', '--tls-verify=false', `docker://${registry.host}/team/large:1`);
    return (JSON.parse(shown) as { Digest: string }).Digest;
  }

  test('push: killed in the middle of a layer and started again, it gets the image whole', async () => {
    const { registry, link, name } = await setUp();
    const killed = killAfter(link, 'up', SIZE / 2, registry);
    const push = ended(maker.start(['push', 'large', name]));
    await killed;
    await registry.start();
    const { code, stdout, stderr } = await push;
    expect(code, stderr).toBe(0);
    expect(stdout).toContain(digestIn(registry));
    const other = new Lamina();
    onTestFinished(() => other.close());
    expect((await other.call(['pull', '-q', name])).code).toBe(0);
  });

  test('push: killed for good, there is one error, and nothing of the image to be seen when it is back', async () => {
    const { registry, link, name } = await setUp();
    const killed = killAfter(link, 'up', SIZE / 2, registry);
    const before = contents(maker);
    const push = ended(maker.start(['push', '--quiet', 'large', name]));
    await killed;
    const { code, stdout, stderr } = await push;
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^lamina: cannot push large to .*\n$/);
    expect(contents(maker)).toEqual(before);
    await registry.start();
    const tags = await fetch(`http://${registry.host}/v2/team/large/manifests/1`);
    expect(tags.status).toBe(404);
  });

  test('pull: killed in the middle of a layer and started again, the image comes whole', async () => {
    const { registry, link, name, lamina } = await setUp();
    await fill(registry);
    const killed = killAfter(link, 'down', SIZE / 2, registry);
    const pull = ended(lamina.start(['pull', name]));
    await killed;
    await registry.start();
    const { code, stdout, stderr } = await pull;
    expect(code, stderr).toBe(0);
    expect(stdout).toContain(digestIn(registry));
    // The half that had come did not come again.
    expect(link.passed.down).toBeLessThan(SIZE * 1.4);
  });

  test('pull: killed for good, there is one error, and nothing of the image in the store; then it comes', async () => {
    const { registry, link, name, lamina } = await setUp();
    await fill(registry);
    await lamina.call(['images']);
    const before = contents(lamina);
    const killed = killAfter(link, 'down', SIZE / 2, registry);
    const pull = ended(lamina.start(['pull', '--quiet', name]));
    await killed;
    const { code, stdout, stderr } = await pull;
    expect(code).toBe(1);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/^lamina: cannot pull .*\n$/);
    expect(contents(lamina)).toEqual(before);
    expect((await lamina.call(['images', '-q'])).stdout).toBe('');
    await registry.start();
    expect((await lamina.call(['pull', '-q', name])).code).toBe(0);
  });

  test('pull and push: over a link that is slow, and breaks after each mebibyte, all comes', async () => {
    const { registry, link, name, lamina } = await setUp();
    await fill(registry);
    let rest = MIB;
    link.pass = async (bytes, direction) => {
      if (direction === 'up') return bytes;
      await sleep(1);
      rest -= bytes.length;
      if (rest > 0) return bytes;
      rest = MIB;
      return undefined;
    };
    const pulled = await lamina.call(['pull', '-q', name]);
    expect(pulled.code, pulled.stderr).toBe(0);
    expect(link.passed.down).toBeLessThan(SIZE * 1.4);
    let breaks = 0;
    link.pass = (bytes, direction) => {
      if (direction === 'down' || breaks === 2 || link.passed.up < (breaks + 1) * MIB) return bytes;
      breaks += 1;
      return undefined;
    };
    const pushed = await lamina.call(['push', '-q', name, `${link.host}/new/large:1`]);
    // Taken from the other repository: no layer passes.
    expect(pushed.code, pushed.stderr).toBe(0);
    expect(link.passed.up).toBeLessThan(MIB);
    const anew = await maker.call(['push', '-q', 'large', `${link.host}/third/large:1`]);
    expect(anew.code, anew.stderr).toBe(0);
    expect(breaks).toBe(2);
  });

  test('pull: bytes that change on the way come anew, and nothing of them is in the store', async () => {
    const { registry, link, name, lamina } = await setUp();
    await fill(registry);
    link.pass = (bytes, direction) => {
      if (direction === 'up' || link.passed.down < SIZE / 2) return bytes;
      const changed = Buffer.from(bytes);
      changed[changed.length >> 1] = (changed[changed.length >> 1] ?? 0) ^ 1;
      link.pass = (rest) => rest;
      return changed;
    };
    const { code, stderr } = await lamina.call(['pull', '--quiet', name]);
    expect(code, stderr).toBe(0);
    expect(link.passed.down).toBeGreaterThan(SIZE);
    expect((await lamina.call(['system', 'check'])).code).toBe(0);
  });

  test('push: bytes that change on the way are sent again', async () => {
    const { registry, link, name } = await setUp();
    link.pass = (bytes, direction) => {
      if (direction === 'down' || link.passed.up < SIZE / 2) return bytes;
      const changed = Buffer.from(bytes);
      changed[changed.length >> 1] = (changed[changed.length >> 1] ?? 0) ^ 1;
      link.pass = (rest) => rest;
      return changed;
    };
    const { code, stderr } = await maker.call(['push', '--quiet', 'large', name]);
    expect(code, stderr).toBe(0);
    expect(link.passed.up).toBeGreaterThan(SIZE * 2);
    expect(digestIn(registry)).toMatch(/^sha256:/);
  });
});
