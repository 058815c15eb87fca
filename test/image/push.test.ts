import { randomBytes } from 'node:crypto';
import { type IncomingMessage } from 'node:http';
import { readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';

import { type BlobName } from '../../runner/image/blob-sources.ts';
import { type Packing } from '../../runner/image/compress.ts';
import { DEFAULT_LIMITS } from '../../runner/image/limits.ts';
import { parsePlatform } from '../../runner/image/platform.ts';
import { pullImage } from '../../runner/image/pull.ts';
import { pushImage } from '../../runner/image/push.ts';
import { parseReference } from '../../runner/image/reference.ts';
import { type Credentials } from '../../runner/image/registry/credentials.ts';
import { Registry } from '../../runner/image/registry/registry.ts';
import { type Store } from '../../runner/image/store.ts';
import { Warnings } from '../../runner/image/warnings.ts';
import { isRoot, titled } from '../support/requirements.ts';
import { dockerArchive, named, OciBlobs, ociArchive, sha256, tar } from './archives.ts';
import { FakeRegistry } from './fake-registry.ts';
import { load, newStore } from './ground.ts';

const BOTTOM = tar({ name: 'etc/', type: '5' }, { name: 'etc/name', data: 'bottom' });
const TOP = tar({ name: 'etc/name', data: 'top' });
/** Larger than what a socket takes at once, and without anything to compress. */
const LARGE = tar({ name: 'large', data: randomBytes(6 << 20) });

interface Push {
  readonly credentials?: Credentials;
  readonly packing?: Packing;
  readonly settled?: string[];
  readonly repository?: string;
}

async function push(store: Store, remote: FakeRegistry, name: string, options: Push = {}): Promise<BlobName> {
  const { credentials, packing, settled, repository = 'team/app' } = options;
  const reference = parseReference(`${remote.host}/${repository}${name}`);
  const registry = new Registry(reference, { credentials, tlsVerify: true, backOff: 1 });
  try {
    return await pushImage(store, store.resolve('app:1'), registry, reference, {
      packing,
      progress: { begin: () => () => undefined, settle: (digest, how) => settled?.push(`${how} ${digest}`) },
    });
  } finally {
    await registry.close();
  }
}

async function pull(store: Store, remote: FakeRegistry, name: string): Promise<void> {
  const reference = parseReference(`${remote.host}/${name}`);
  const registry = new Registry(reference, { credentials: undefined, tlsVerify: true, backOff: 1 });
  const platform = parsePlatform('linux/amd64');
  const progress = { begin: () => () => undefined, settle: () => undefined };
  try {
    await pullImage(store, registry, reference, {
      platform,
      limits: DEFAULT_LIMITS,
      warnings: new Warnings(),
      progress,
    });
  } finally {
    await registry.close();
  }
}

/** A store with the image app:1 of these layers, which are kept as they are in the archive. */
async function storeWith(...layers: readonly Buffer[]): Promise<Store> {
  const store = newStore();
  await load(store, dockerArchive({ layers, names: ['app:1'] }));
  return store;
}

function manifestOf(store: Store): Buffer {
  const [digest = ''] = store.resolve('app:1').manifests;
  return readFileSync(join(store.root, 'blobs/sha256', digest.slice(7)));
}

function sent(remote: FakeRegistry, method: string): string[] {
  return remote.requests.filter((line) => line.startsWith(`${method} `) && line.includes('/blobs/uploads/'));
}

/** Lets so many bytes of a request's body through, then breaks the connection. */
function breakAfter(request: IncomingMessage, bytes: number): void {
  let seen = 0;
  request.on('data', (chunk: Buffer) => {
    seen += chunk.length;
    if (seen >= bytes) request.destroy();
  });
}

describe.skipIf(isRoot())(titled('pushImage', isRoot()), () => {
  test('sends layers, configuration and the manifest as it is in the store', async () => {
    const store = newStore();
    await load(store, ociArchive({ layers: [BOTTOM, TOP], names: ['app:1'] }));
    const remote = await FakeRegistry.open();
    const { digest } = await push(store, remote, ':2');
    const manifest = manifestOf(store);
    expect(digest).toBe(`sha256:${sha256(manifest)}`);
    expect(remote.manifests.get('2')).toEqual({
      bytes: manifest,
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
    });
    for (const layer of [BOTTOM, TOP])
      expect(remote.blobs.get(`sha256:${sha256(gzipSync(layer))}`)).toEqual(gzipSync(layer));
    expect(remote.blobs.size).toBe(3);
    expect(remote.uploads.size).toBe(0);
    // The manifest is the last: nobody sees an image that is not whole.
    expect(remote.requests.at(-1)).toBe('PUT /v2/team/app/manifests/2');
  });

  test('sends what the registry lacks alone, and the second time nothing', async () => {
    const [store, remote] = [await storeWith(BOTTOM, TOP), await FakeRegistry.open()];
    remote.blob(BOTTOM, '');
    const settled: string[] = [];
    await push(store, remote, ':1', { settled });
    expect(settled).toEqual([`exists sha256:${sha256(BOTTOM)}`]);
    expect(sent(remote, 'PUT')).toHaveLength(2);
    await push(store, remote, ':2');
    expect(sent(remote, 'PUT')).toHaveLength(2);
    expect(sent(remote, 'POST')).toHaveLength(2);
  });

  test('sends a layer once that the image has twice', async () => {
    const [store, remote] = [await storeWith(BOTTOM, TOP, BOTTOM), await FakeRegistry.open()];
    await push(store, remote, ':1');
    expect(sent(remote, 'PUT')).toHaveLength(3);
  });

  test('lets the registry take a layer from the repository that it was pulled from or pushed to', async () => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    remote.image('1', [BOTTOM]);
    await pull(store, remote, 'from/here:1');
    await load(store, dockerArchive({ layers: [BOTTOM, TOP], names: ['app:1'] }));
    remote.blobs.clear();
    remote.mountable.add(`from/here sha256:${sha256(BOTTOM)}`);
    const settled: string[] = [];
    await push(store, remote, ':1', { settled });
    expect(settled).toEqual([`mounted sha256:${sha256(BOTTOM)}`]);
    const mount = `mount=sha256%3A${sha256(BOTTOM)}&from=from%2Fhere`;
    expect(sent(remote, 'POST')[0]).toBe(`POST /v2/team/app/blobs/uploads/?${mount}`);
    remote.blobs.clear();
    remote.mountable.add(`team/app sha256:${sha256(TOP)}`);
    await push(store, remote, ':1', { settled, repository: 'other/app' });
    expect(settled).toContain(`mounted sha256:${sha256(TOP)}`);
    expect(remote.requests.some((line) => line.includes(sha256(TOP)) && line.includes('from=team%2Fapp'))).toBe(true);
  });

  test('goes on with the upload that a registry begins instead of taking a layer from elsewhere', async () => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    remote.image('1', [BOTTOM]);
    await pull(store, remote, 'from/here:1');
    await load(store, dockerArchive({ layers: [BOTTOM], names: ['app:1'] }));
    remote.blobs.clear();
    await push(store, remote, ':1');
    // One that mounts, and one for the configuration, which no repository is known to have.
    expect(sent(remote, 'POST')).toHaveLength(2);
    expect(remote.blobs.get(`sha256:${sha256(BOTTOM)}`)).toEqual(BOTTOM);
    expect(remote.uploads.size).toBe(0);
  });

  test('goes on where a connection broke, from what the registry has', async () => {
    const [store, remote] = [await storeWith(LARGE), await FakeRegistry.open()];
    let breaks = 0;
    remote.behave = (request) => {
      const isUpload = request.method === 'PUT' || request.method === 'PATCH';
      if (!isUpload || request.url?.includes('/manifests/') === true) return false;
      if (Number(request.headers['content-length']) > 1 << 20 && breaks < 3) {
        breaks += 1;
        breakAfter(request, 1 << 20);
      }
      return false;
    };
    await push(store, remote, ':1');
    expect(breaks).toBe(3);
    expect(remote.blobs.get(`sha256:${sha256(LARGE)}`)?.equals(LARGE)).toBe(true);
    // One begins for the layer, one for the configuration: nothing began anew.
    expect(sent(remote, 'POST')).toHaveLength(2);
    expect(sent(remote, 'PATCH').length).toBeGreaterThan(0);
    expect(sent(remote, 'GET')).toHaveLength(3);
  });

  test('begins anew where a registry keeps nothing of what broke', async () => {
    const [store, remote] = [await storeWith(LARGE), await FakeRegistry.open()];
    let breaks = 0;
    remote.behave = (request, response) => {
      if (request.method === 'GET' && request.url?.includes('/uploads/') === true) {
        response.writeHead(416).end();
        return true;
      }
      if (request.method === 'PUT' && Number(request.headers['content-length']) > 1 << 20 && breaks < 2) {
        breaks += 1;
        breakAfter(request, 1 << 20);
      }
      return false;
    };
    await push(store, remote, ':1');
    expect(sent(remote, 'POST')).toHaveLength(4);
    expect(remote.blobs.get(`sha256:${sha256(LARGE)}`)?.equals(LARGE)).toBe(true);
  });

  test('gives up after a few attempts that bring nothing, with one error, and no manifest is there', async () => {
    const [store, remote] = [await storeWith(LARGE), await FakeRegistry.open()];
    remote.keepsBroken = false;
    remote.behave = (request) => {
      if (request.method === 'PUT') breakAfter(request, 1);
      return false;
    };
    await expect(push(store, remote, ':1')).rejects.toThrow(
      /PUT http:\/\/127\.0\.0\.1:\d+\/v2\/team\/app\/blobs\/uploads/,
    );
    expect(remote.manifests.size).toBe(0);
    expect(readdirSync(join(store.root, 'tmp'))).toEqual([]);
  });

  test('tries again after 429, 503 and a connection that was reset', async () => {
    const [store, remote] = [await storeWith(BOTTOM), await FakeRegistry.open()];
    const faults = new Map([
      ['HEAD', [429]],
      ['POST', [503, 0]],
      ['PUT', [429, 500, 0]],
    ]);
    remote.behave = (request, response) => {
      const fault = faults.get(request.method ?? '')?.shift();
      if (fault === undefined) return false;
      if (fault === 0) response.destroy();
      else response.writeHead(fault, { 'retry-after': '0' }).end();
      return true;
    };
    await push(store, remote, ':1');
    expect([...faults.values()].flat()).toEqual([]);
    expect(remote.manifests.has('1')).toBe(true);
  });

  test('sends smaller pieces where a blob is too large in one', async () => {
    const [store, remote] = [await storeWith(LARGE), await FakeRegistry.open()];
    remote.behave = (request, response) => {
      if (Number(request.headers['content-length'] ?? 0) <= 2 << 20) return false;
      request.resume();
      response.writeHead(413).end();
      return true;
    };
    await push(store, remote, ':1');
    expect(remote.blobs.get(`sha256:${sha256(LARGE)}`)?.equals(LARGE)).toBe(true);
    expect(sent(remote, 'PATCH').length).toBeGreaterThan(3);
  });

  test('says what the registry says where it refuses a blob or the manifest', async () => {
    for (const part of ['/uploads/', '/manifests/']) {
      const [store, remote] = [await storeWith(BOTTOM), await FakeRegistry.open()];
      remote.behave = (request, response) => {
        if (request.method === 'HEAD' || request.url?.includes(part) !== true) return false;
        const errors = [{ code: 'DENIED', message: 'quota exceeded' }];
        response.writeHead(405, { 'content-type': 'application/json' }).end(JSON.stringify({ errors }));
        return true;
      };
      await expect(push(store, remote, ':1')).rejects.toThrow(/does not take .*405 \(DENIED: quota exceeded\)/);
    }
  });

  test('does not believe a registry that has taken something else', async () => {
    for (const kind of ['uploads', 'manifests']) {
      const [store, remote] = [await storeWith(BOTTOM), await FakeRegistry.open()];
      remote.behave = (request, response) => {
        if (request.method !== 'PUT' || request.url?.includes(kind) !== true) return false;
        request.resume();
        response.writeHead(201, { 'docker-content-digest': `sha256:${'1'.repeat(64)}` }).end();
        return true;
      };
      await expect(push(store, remote, ':1')).rejects.toThrow(/has taken .* for another: "sha256:111/);
    }
  });

  test('says that the blob of a layer is lost before it sends anything, and needs none that the registry has', async () => {
    const [store, remote] = [await storeWith(BOTTOM, TOP), await FakeRegistry.open()];
    rmSync(join(store.root, 'blobs/sha256', sha256(TOP)));
    await expect(push(store, remote, ':1')).rejects.toThrow(/is in neither the store nor the registry/);
    expect(sent(remote, 'POST')).toEqual([]);
    remote.blob(TOP, '');
    await push(store, remote, ':1');
    expect(remote.manifests.has('1')).toBe(true);
  });

  test('says that the blob of a layer is damaged', async () => {
    const [store, remote] = [await storeWith(BOTTOM), await FakeRegistry.open()];
    const path = join(store.root, 'blobs/sha256', sha256(BOTTOM));
    writeFileSync(path, Buffer.from(BOTTOM).fill(1, 600, 601));
    await expect(push(store, remote, ':1')).rejects.toThrow(/of the store is damaged: its content is another/);
    writeFileSync(path, BOTTOM.subarray(1));
    await expect(push(store, remote, ':1')).rejects.toThrow(/of the store is damaged: \d+ of \d+ bytes/);
    expect(remote.manifests.size).toBe(0);
  });

  test('leaves a foreign layer where its URL says', async () => {
    const store = newStore();
    const blobs = new OciBlobs();
    const { digest, size } = blobs.add('x', gzipSync(BOTTOM));
    const mediaType = 'application/vnd.oci.image.layer.nondistributable.v1.tar+gzip';
    const layer = { mediaType, digest, size, urls: ['https://elsewhere.example/layer'] };
    const rootfs = { type: 'layers', diff_ids: [`sha256:${sha256(BOTTOM)}`] };
    const config = blobs.add(
      'application/vnd.oci.image.config.v1+json',
      Buffer.from(JSON.stringify({ architecture: 'amd64', os: 'linux', config: {}, rootfs })),
    );
    const type = 'application/vnd.oci.image.manifest.v1+json';
    const manifest = { schemaVersion: 2, mediaType: type, config, layers: [layer] };
    const entry = blobs.add(type, Buffer.from(JSON.stringify(manifest)));
    await load(store, blobs.archive([named(entry, 'docker.io/library/app:1')]));
    const remote = await FakeRegistry.open();
    const settled: string[] = [];
    await push(store, remote, ':1', { settled });
    expect(settled).toEqual([`foreign ${digest}`]);
    expect([...remote.blobs.keys()]).toEqual([config.digest]);
    expect(JSON.parse(remote.manifests.get('1')?.bytes.toString() ?? '')).toEqual(manifest);
  });

  test('is held to the digest of a destination', async () => {
    const [store, remote] = [await storeWith(BOTTOM), await FakeRegistry.open()];
    const digest = `sha256:${sha256(manifestOf(store))}`;
    await push(store, remote, `@${digest}`);
    expect(remote.requests.at(-1)).toBe(`PUT /v2/team/app/manifests/${digest}`);
    await expect(push(store, remote, `@sha256:${'1'.repeat(64)}`)).rejects.toThrow(/its manifest has the digest/);
  });

  test.each(['gzip', 'zstd'] as const)('packs plain layers with %s, to the same blobs each time', async (packing) => {
    const [store, remote] = [await storeWith(BOTTOM, LARGE), await FakeRegistry.open()];
    const first = await push(store, remote, ':1', { packing });
    const requests = remote.requests.length;
    expect(await push(store, remote, ':2', { packing })).toEqual(first);
    expect(sent(remote, 'PUT')).toHaveLength(3);
    expect(remote.requests.length).toBeGreaterThan(requests);
    const other = newStore();
    await pull(other, remote, 'team/app:1');
    expect(other.resolve(`${remote.host}/team/app:1`).diffIds).toEqual(store.resolve('app:1').diffIds);
    const { layers } = JSON.parse(remote.manifests.get('1')?.bytes.toString() ?? '') as {
      layers: { mediaType: string; digest: string; size: number }[];
    };
    for (const { mediaType, digest, size } of layers) {
      expect(mediaType).toBe(`application/vnd.oci.image.layer.v1.tar+${packing}`);
      expect(remote.blobs.get(digest)).toHaveLength(size);
    }
    const again = newStore();
    await load(again, dockerArchive({ layers: [BOTTOM, LARGE], names: ['app:1'] }));
    expect(await push(again, await FakeRegistry.open(), ':1', { packing })).toEqual(first);
  });

  const led: readonly [where: string, location: string, message: RegExp][] = [
    ['a link-local address', 'http://169.254.169.254/latest/', /link-local address, which is refused/],
    ['another scheme', 'file:///etc/passwd', /file:\/\/.*refused/],
    ['nowhere', '', /does not say where the upload goes on/],
  ];
  test.each(led)('takes no upload to %s', async (_where, location, message) => {
    const [store, remote] = [await storeWith(BOTTOM), await FakeRegistry.open()];
    remote.behave = (request, response) => {
      if (request.method !== 'POST') return false;
      response.writeHead(202, location === '' ? {} : { location }).end();
      return true;
    };
    await expect(push(store, remote, ':1')).rejects.toThrow(message);
  });

  test('gives no credentials to another host that an upload leads to', async () => {
    const [store, remote, elsewhere] = [await storeWith(BOTTOM), await FakeRegistry.open(), await FakeRegistry.open()];
    remote.behave = (request, response) => {
      if (request.headers.authorization === undefined) {
        response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
      } else if (request.method === 'POST') {
        response.writeHead(202, { location: `http://${elsewhere.host}/v2/team/app/blobs/uploads/there` }).end();
      } else return false;
      return true;
    };
    elsewhere.behave = (_request, response) => {
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
      return true;
    };
    const credentials = { username: 'me', password: 'word' };
    await expect(push(store, remote, ':1', { credentials })).rejects.toThrow(/asks for a login|does not take/);
    expect(elsewhere.requests.length).toBeGreaterThan(0);
    expect(new Set(elsewhere.authorizations)).toEqual(new Set([undefined]));
  });

  test('gets a new token where the one it has runs out, and asks for both repositories where it mounts', async () => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    remote.image('1', [BOTTOM]);
    await pull(store, remote, 'from/here:1');
    await load(store, dockerArchive({ layers: [BOTTOM, TOP], names: ['app:1'] }));
    remote.blobs.clear();
    remote.mountable.add(`from/here sha256:${sha256(BOTTOM)}`);
    const valid = new Set<string>();
    let granted = 0;
    let hasExpired = false;
    remote.behave = (request, response) => {
      if (request.url?.startsWith('/token') === true) {
        granted += 1;
        valid.add(`Bearer ${granted}`);
        response.end(JSON.stringify({ token: String(granted) }));
        return true;
      }
      if (request.method === 'PUT' && !hasExpired) {
        hasExpired = true;
        valid.clear();
      }
      if (valid.has(request.headers.authorization ?? '')) return false;
      request.resume();
      response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${remote.host}/token",service="r"` }).end();
      return true;
    };
    await push(store, remote, ':1', { credentials: { username: 'me', password: 'word' } });
    expect(hasExpired).toBe(true);
    expect(remote.manifests.has('1')).toBe(true);
    const asked = remote.requests.filter((line) => line.startsWith('GET /token'));
    const both = 'scope=repository%3Ateam%2Fapp%3Apull%2Cpush&scope=repository%3Afrom%2Fhere%3Apull';
    expect(asked.some((line) => line.includes(both))).toBe(true);
  });
});
