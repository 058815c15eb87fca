import { describe, expect, test } from 'vitest';

import { isRoot, titled } from '../support/requirements.ts';
import { sha256, tar } from './archives.ts';
import { FakeRegistry } from './fake-registry.ts';
import { newStore } from './ground.ts';
import { pull } from './pulling.ts';

const LAYER = tar({ name: 'file', data: 'x'.repeat(5000) });
const DIGEST = `sha256:${sha256(LAYER)}`;

/** Puts an image of one layer into the registry, whose blob is where the URLs say. */
function putForeign(remote: FakeRegistry, urls: readonly string[]): void {
  remote.image('plain', [LAYER]);
  const plain = JSON.parse(remote.manifests.get('plain')?.bytes.toString() ?? '') as { layers: object[] };
  const mediaType = 'application/vnd.oci.image.layer.nondistributable.v1.tar';
  const layers = [{ ...plain.layers[0], mediaType, urls }];
  remote.document('1', { ...plain, layers }, 'application/vnd.oci.image.manifest.v1+json');
  remote.blobs.delete(DIGEST);
}

describe.skipIf(isRoot())(titled('pullImage of a foreign layer', isRoot()), () => {
  test('takes it from its URL where the registry has it not, and gives no credentials to whoever is there', async () => {
    const [store, remote, elsewhere] = [newStore(), await FakeRegistry.open(), await FakeRegistry.open()];
    putForeign(remote, [`http://${elsewhere.host}/gone`, `http://${elsewhere.host}/v2/some/where/blobs/${DIGEST}`]);
    elsewhere.blobs.set(DIGEST, LAYER);
    remote.behave = (request, response) => {
      if (request.headers.authorization !== undefined) return false;
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end();
      return true;
    };
    await pull(store, remote, ':1', { credentials: { username: 'me', password: 'word' } });
    expect(store.list()).toHaveLength(1);
    expect(elsewhere.requests).toEqual(['GET /gone', `GET /v2/some/where/blobs/${DIGEST}`]);
    expect(elsewhere.authorizations).toEqual([undefined, undefined]);
  });

  test('is held to its digest', async () => {
    const [store, remote, elsewhere] = [newStore(), await FakeRegistry.open(), await FakeRegistry.open()];
    putForeign(remote, [`http://${elsewhere.host}/v2/some/where/blobs/${DIGEST}`]);
    elsewhere.blobs.set(DIGEST, Buffer.from(LAYER).fill(1, 600, 601));
    await expect(pull(store, remote, ':1')).rejects.toThrow(/another content/);
    expect(store.list()).toEqual([]);
  });

  const led: readonly (readonly [url: string, message: RegExp])[] = [
    ['file:///etc/passwd', /file:\/\/.*which is refused/],
    ['http://169.254.169.254/latest/', /link-local address, which is refused/],
    ['nonsense', /foreign blob .* is not to be had/],
  ];
  test.each(led)('is not taken from %s', async (url, message) => {
    const [store, remote] = [newStore(), await FakeRegistry.open()];
    putForeign(remote, [url]);
    await expect(pull(store, remote, ':1')).rejects.toThrow(message);
    expect(store.list()).toEqual([]);
  });
});
