import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { randomBytes } from 'node:crypto';
import { type ServerResponse } from 'node:http';
import { gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';

import { type Image } from '../../runner/image/image.ts';
import { openStore, type Store } from '../../runner/image/store.ts';
import { isRoot, titled } from '../support/requirements.ts';
import { sha256, tar } from './archives.ts';
import { FakeRegistry } from './fake-registry.ts';
import { isLayer, newStore } from './ground.ts';
import { runLamina } from './kills.ts';
import { pull } from './pulling.ts';

const BOTTOM = tar({ name: 'etc/', type: '5' }, { name: 'etc/name', data: 'bottom' });
const TOP = tar({ name: 'etc/name', data: 'top' });
/** Larger than what a socket takes at once, and without anything to compress. */
const LARGE = tar({ name: 'large', data: randomBytes(3 << 20) });

function contents({ root }: Store): string[] {
  return ['layers', 'blobs/sha256', 'tmp'].flatMap((name) => readdirSync(join(root, name)));
}

function topName(image: Image): string {
  return readFileSync(join(image.layers[0] ?? '', 'etc/name'), 'utf8');
}

describe.skipIf(isRoot())(titled('pullImage', isRoot()), () => {
  test('takes an image: layers, blobs and the manifest as it is', async () => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    const manifest = remote.image('1.0', [gzipSync(BOTTOM), gzipSync(TOP)], [BOTTOM, TOP]);
    const image = await pull(store, remote, ':1.0');
    expect(topName(image)).toBe('top');
    expect(image.manifests).toEqual([manifest.digest]);
    expect(image.names).toEqual([`${remote.host}/team/app:1.0`]);
    expect(readFileSync(join(store.root, 'blobs/sha256', sha256(gzipSync(TOP))))).toEqual(gzipSync(TOP));
    expect(store.resolve(`${remote.host}/team/app:1.0`).id).toBe(image.id);
  });

  test('fetches no blob that the store has, from whichever repository it came', async () => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    remote.image('1.0', [BOTTOM, TOP]);
    await pull(store, remote, ':1.0');
    remote.image('2.0', [BOTTOM, tar({ name: 'etc/name', data: 'newer' })]);
    const before = remote.blobRequests.length;
    const exists: string[] = [];
    expect(topName(await pull(store, remote, ':2.0', { exists }))).toBe('newer');
    // The configuration and one layer.
    expect(remote.blobRequests.length - before).toBe(2);
    expect(exists).toEqual([`sha256:${sha256(BOTTOM)}`]);
    expect(readdirSync(join(store.root, 'layers')).filter(isLayer)).toHaveLength(3);
  });

  test('takes the platform that is asked for from an index within an index, and no record of a build', async () => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    const amd = { ...remote.image('amd', [BOTTOM, TOP]), platform: { os: 'linux', architecture: 'amd64' } };
    const arm = remote.image('arm', [BOTTOM], [BOTTOM], 'arm64');
    const attestation = { ...remote.image('att', [TOP]), platform: { os: 'unknown', architecture: 'unknown' } };
    const entries = [attestation, { ...arm, platform: { os: 'linux', architecture: 'arm64' } }, amd];
    remote.index('all', [remote.index('inner', entries)]);
    expect(topName(await pull(store, remote, ':all'))).toBe('top');
    expect(topName(await pull(store, remote, ':all', { platform: 'linux/arm64' }))).toBe('bottom');
    await expect(pull(store, remote, ':all', { platform: 'linux/s390x' })).rejects.toThrow(
      /is for linux\/arm64, linux\/amd64, not for linux\/s390x/,
    );
  });

  test('ends at an index that leads to itself', async () => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    const platform = { os: 'linux', architecture: 'amd64' };
    const looped = { bytes: Buffer.from('{}'), mediaType: 'application/vnd.oci.image.index.v1+json' };
    const entry = { mediaType: looped.mediaType, digest: `sha256:${'0'.repeat(64)}`, size: 2, platform };
    const outer = remote.index('loop', [entry]);
    remote.behave = (request, response) => {
      if (request.url?.includes('000000') !== true) return false;
      response.writeHead(200, { 'content-type': looped.mediaType }).end(remote.manifests.get(outer.digest)?.bytes);
      return true;
    };
    await expect(pull(store, remote, ':loop')).rejects.toThrow(/has another content/);
  });

  test('is held to the digest of a reference', async () => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    const { digest } = remote.image('1.0', [BOTTOM]);
    const image = await pull(store, remote, `@${digest}`);
    expect(image.names).toEqual([]);
    expect(store.resolve(`${remote.host}/team/app@${digest}`).id).toBe(image.id);
    const other = `sha256:${'1'.repeat(64)}`;
    const lie = remote.manifests.get('1.0');
    if (lie !== undefined) remote.manifests.set(other, lie);
    await expect(pull(store, remote, `@${other}`)).rejects.toThrow(/has another content: its digest is/);
  });

  const flipped = Buffer.from(LARGE).fill(1, 600, 601);
  const lies: readonly [what: string, lie: (response: ServerResponse) => void, asked: (string | undefined)[]][] = [
    ['another byte', (response) => response.end(flipped), [undefined, undefined]],
    ['what is no archive', (response) => response.end(Buffer.alloc(LARGE.length, 'no')), [undefined, undefined]],
    ['more than there is', (response) => response.end(Buffer.concat([LARGE, LARGE])), [undefined, undefined]],
    [
      'the beginning of another layer, and the rest of this',
      (response) => response.write(flipped.subarray(0, 90_000), () => response.destroy()),
      [undefined, 'bytes=90000-', undefined],
    ],
  ];
  test.each(lies)('takes a layer from its beginning where it was %s', async (_what, lie, asked) => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    remote.image('1.0', [BOTTOM, LARGE, TOP]);
    const ranges: (string | undefined)[] = [];
    remote.behave = (request, response) => {
      if (request.url?.endsWith(sha256(LARGE)) !== true) return false;
      ranges.push(request.headers.range);
      if (ranges.length > 1) return false;
      lie(response.writeHead(200));
      return true;
    };
    const image = await pull(store, remote, ':1.0');
    expect(image.layers.map((layer) => readdirSync(layer))).toEqual([['etc'], ['large'], ['etc']]);
    expect(readFileSync(join(image.layers[1] ?? '', 'large')).equals(LARGE.subarray(512, 512 + (3 << 20)))).toBe(true);
    expect(ranges).toEqual(asked);
    // Layers that were right are not fetched again.
    expect(remote.blobRequests.filter((line) => line.includes(sha256(BOTTOM)))).toHaveLength(1);
  });

  test('takes a manifest and a configuration again that were others', async () => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    const { digest } = remote.image('1.0', [BOTTOM]);
    const lied = new Set<string | undefined>();
    remote.behave = ({ url = '' }, response) => {
      if (url.endsWith('/v2/') || url.endsWith(sha256(BOTTOM)) || lied.has(url)) return false;
      lied.add(url);
      response.writeHead(200, { 'content-type': 'application/vnd.oci.image.manifest.v1+json' }).end('{}');
      return true;
    };
    expect((await pull(store, remote, `@${digest}`)).manifests).toEqual([digest]);
    expect(lied.size).toBe(2);
  });

  test('gives up a layer that is wrong each time, with one error', async () => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    remote.image('1.0', [BOTTOM, LARGE]);
    remote.blobs.set(`sha256:${sha256(LARGE)}`, Buffer.alloc(LARGE.length, 'no'));
    await expect(pull(store, remote, ':1.0')).rejects.toThrow(
      /^blob sha256:[0-9a-f]+ has another content: its digest is/,
    );
    expect(remote.blobRequests.filter((line) => line.includes(sha256(LARGE)))).toHaveLength(3);
    expect(store.list()).toEqual([]);
    expect(readdirSync(join(store.root, 'tmp'))).toEqual([]);
  });

  test('goes on where a connection broke, with and without ranges', async () => {
    for (const takesRanges of [true, false]) {
      const [store, remote] = [newStore(), await FakeRegistry.open()];
      remote.image('1.0', [LARGE]);
      let broken = 0;
      remote.behave = (request, response) => {
        if (request.url?.endsWith(sha256(LARGE)) !== true) return false;
        if (!takesRanges) delete request.headers.range;
        if (broken === 2) return false;
        broken += 1;
        const from = Number(/(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
        const range = { 'content-range': `bytes ${from}-${LARGE.length - 1}/${LARGE.length}` };
        response.writeHead(from === 0 ? 200 : 206, { 'content-length': LARGE.length - from, ...range });
        response.write(LARGE.subarray(from, broken << 20), () => response.destroy());
        return true;
      };
      const image = await pull(store, remote, ':1.0');
      expect(readFileSync(join(image.layers[0] ?? '', 'large')).length).toBe(3 << 20);
      expect(broken).toBe(2);
      const ranges = remote.blobRequests.filter((line) => line.includes('bytes='));
      expect(ranges).toHaveLength(2);
    }
  });

  test('tries again after 429, 503 and a connection that was reset', async () => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    remote.image('1.0', [BOTTOM]);
    const faults = [429, 503, 0];
    remote.behave = (request, response) => {
      if (request.url?.includes('/manifests/') !== true) return false;
      const fault = faults.shift();
      if (fault === undefined) return false;
      if (fault === 0) response.destroy();
      else response.writeHead(fault, { 'retry-after': '0' }).end();
      return true;
    };
    expect(topName(await pull(store, remote, ':1.0'))).toBe('bottom');
  });

  const spoiled: readonly [what: string, spoil: (bytes: Buffer) => Buffer, message: RegExp][] = [
    [
      'other bytes',
      (bytes) => Buffer.from(bytes.toString('latin1').replace('bottom', 'BOTTOM'), 'latin1'),
      /another content/,
    ],
    ['more bytes', (bytes) => Buffer.concat([bytes, bytes]), /is longer than the \d+ bytes/],
    ['fewer bytes', (bytes) => bytes.subarray(0, 700), /ended after 700 of \d+ bytes/],
  ];
  test.each(spoiled)('refuses a layer of %s, and nothing of it is left', async (_what, spoil, message) => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    remote.image('1.0', [BOTTOM]);
    remote.blobs.set(`sha256:${sha256(BOTTOM)}`, spoil(BOTTOM));
    const before = contents(store);
    await expect(pull(store, remote, ':1.0')).rejects.toThrow(message);
    expect(contents(store)).toEqual(before);
    expect(store.list()).toEqual([]);
  });

  test('refuses a layer whose content is not what the configuration says', async () => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    remote.image('1.0', [BOTTOM], [TOP]);
    await expect(pull(store, remote, ':1.0')).rejects.toThrow(/its content has another digest/);
    expect(store.list()).toEqual([]);
  });

  test('refuses a manifest that is one thing by itself and another to its registry', async () => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    remote.image('1.0', [BOTTOM]);
    const { bytes } = remote.manifests.get('1.0') ?? { bytes: Buffer.alloc(0) };
    remote.manifests.set('1.0', { bytes, mediaType: 'application/vnd.oci.image.index.v1+json' });
    await expect(pull(store, remote, ':1.0')).rejects.toThrow(/by itself and .* to its registry/);
  });

  test('reads no more of a manifest than a manifest may have', async () => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    remote.manifests.set('1.0', {
      bytes: Buffer.alloc(5 << 20, 0x20),
      mediaType: 'application/vnd.oci.image.manifest.v1+json',
    });
    await expect(pull(store, remote, ':1.0')).rejects.toThrow(/is longer than 4194304 bytes/);
  });

  test('says what the registry says of an image that it does not have', async () => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    await expect(pull(store, remote, ':none')).rejects.toThrow(/has no manifest none of .*MANIFEST_UNKNOWN/);
  });

  test('fetches each layer once where several pull the same image at once', async () => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    remote.image('1.0', [BOTTOM, LARGE]);
    const pulls = [store, openStore(store.root), openStore(store.root)].map((one) => pull(one, remote, ':1.0'));
    expect(new Set((await Promise.all(pulls)).map(({ id }) => id)).size).toBe(1);
    for (const layer of [BOTTOM, LARGE]) {
      expect(remote.blobRequests.filter((line) => line.endsWith(sha256(layer)))).toHaveLength(1);
    }
  });

  test('logs in by name and password where it is asked to, and says so where it cannot', async () => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    remote.image('1.0', [BOTTOM]);
    const wanted = `Basic ${Buffer.from('me:secret:word').toString('base64')}`;
    remote.behave = (request, response) => {
      if (request.headers.authorization === wanted) return false;
      response.writeHead(401, { 'www-authenticate': 'Basic realm="here"' }).end();
      return true;
    };
    await expect(pull(store, remote, ':1.0')).rejects.toThrow(/lamina login 127\.0\.0\.1/);
    await pull(store, remote, ':1.0', { credentials: { username: 'me', password: 'secret:word' } });
    expect(store.list()).toHaveLength(1);
  });

  test('gets a token for its scope, with the password for the realm and the token for the registry', async () => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    remote.image('1.0', [BOTTOM]);
    const realm = `http://${remote.host}/token`;
    remote.behave = (request, response) => {
      if (request.url?.startsWith('/token') === true) response.end(JSON.stringify({ token: 'let-me-in' }));
      else if (request.headers.authorization === 'Bearer let-me-in') return false;
      else {
        const challenge = `Bearer realm="${realm}",service="reg",scope="repository:team/app:pull"`;
        response.writeHead(401, { 'www-authenticate': challenge }).end();
      }
      return true;
    };
    await pull(store, remote, ':1.0', { credentials: { username: 'me', password: 'word' } });
    const asked = remote.requests.findIndex((line) => line.includes('/token'));
    expect(remote.requests[asked]).toBe('GET /token?service=reg&scope=repository%3Ateam%2Fapp%3Apull');
    expect(remote.authorizations[asked]).toBe(`Basic ${Buffer.from('me:word').toString('base64')}`);
    expect(remote.authorizations.at(-1)).toBe('Bearer let-me-in');
    expect(remote.requests.filter((line) => line.includes('/token'))).toHaveLength(1);
  });

  test('gives no credentials to another host that it is redirected to', async () => {
    const [store, remote, elsewhere] = [newStore(), await FakeRegistry.open(), await FakeRegistry.open()];
    remote.image('1.0', [BOTTOM]);
    elsewhere.image('1.0', [BOTTOM]);
    remote.behave = (request, response) => {
      if (request.headers.authorization === undefined) {
        response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
      } else if (request.url?.includes(sha256(BOTTOM)) === true) {
        response.writeHead(307, { location: `http://${elsewhere.host}${request.url}` }).end();
      } else return false;
      return true;
    };
    await pull(store, remote, ':1.0', { credentials: { username: 'me', password: 'word' } });
    expect(elsewhere.blobRequests).toHaveLength(1);
    expect(elsewhere.authorizations).toEqual([undefined]);
  });

  test('gives no credentials to a realm that another host names, to which it is redirected', async () => {
    const [store, remote, elsewhere] = [newStore(), await FakeRegistry.open(), await FakeRegistry.open()];
    remote.image('1.0', [BOTTOM]);
    remote.behave = (request, response) => {
      if (request.url?.includes(sha256(BOTTOM)) !== true) return false;
      response.writeHead(307, { location: `http://${elsewhere.host}/blob` }).end();
      return true;
    };
    elsewhere.behave = (request, response) => {
      if (request.url === '/blob') {
        response.writeHead(401, { 'www-authenticate': `Bearer realm="http://${elsewhere.host}/token"` }).end();
      } else response.end(JSON.stringify({ token: 'thanks' }));
      return true;
    };
    const credentials = { username: 'me', password: 'word' };
    await expect(pull(store, remote, ':1.0', { credentials })).rejects.toThrow(/asks for a login/);
    expect(elsewhere.requests).toEqual(['GET /blob']);
    expect(elsewhere.authorizations).toEqual([undefined]);
  });

  const led: readonly [where: string, location: string, message: RegExp][] = [
    ['a link-local address', 'http://169.254.169.254/latest/meta-data/', /link-local address, which is refused/],
    ['the same as IPv6', 'http://[::ffff:169.254.169.254]/', /link-local address, which is refused/],
    ['another scheme', 'file:///etc/passwd', /redirected to file:\/\/.*refused/],
  ];
  test.each(led)('follows no redirect to %s', async (_where, location, message) => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    remote.image('1.0', [BOTTOM]);
    remote.behave = (request, response) => {
      if (request.url?.includes('/blobs/') !== true) return false;
      response.writeHead(307, { location }).end();
      return true;
    };
    await expect(pull(store, remote, ':1.0')).rejects.toThrow(message);
  });

  test('follows a redirect only so often', async () => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    remote.behave = (request, response) => {
      if (request.url?.includes('/manifests/') !== true) return false;
      response.writeHead(302, { location: request.url }).end();
      return true;
    };
    await expect(pull(store, remote, ':1.0')).rejects.toThrow(/redirected more than 5 times/);
  });

  test.each(['ftp://x/token', 'http://169.254.169.254/token', 'nonsense'])(
    'sends no credentials to the realm %s',
    async (realm) => {
      const [store, remote] = [newStore(), await FakeRegistry.open()];
      remote.behave = (request, response) => {
        if (request.url === '/v2/') return false;
        response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}"` }).end();
        return true;
      };
      const credentials = { username: 'me', password: 'word' };
      await expect(pull(store, remote, ':1.0', { credentials })).rejects.toThrow(/refused|no realm/);
    },
  );
});

describe.skipIf(isRoot())(titled('lamina pull by several processes at once', isRoot()), () => {
  test('fetches each layer once', async () => {
    const remote = await FakeRegistry.open();
    const layers = [BOTTOM, tar({ name: 'large', data: randomBytes(4 << 20) })];
    remote.image('1.0', layers, layers, process.arch === 'x64' ? 'amd64' : process.arch);
    const name = `${remote.host}/team/app:1.0`;
    const { root } = newStore();
    const runs = await Promise.all([1, 2, 3].map(() => runLamina(root, ['pull', name])));
    expect(runs.map(({ code, stderr }) => ({ code, isClear: !stderr.includes('cannot') }))).toEqual(
      runs.map(() => ({ code: 0, isClear: true })),
    );
    for (const layer of layers) {
      expect(remote.blobRequests.filter((line) => line.includes(sha256(layer)))).toHaveLength(1);
    }
    expect(openStore(root).list()).toHaveLength(1);
  });
});
