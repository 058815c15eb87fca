import { type ServerResponse } from 'node:http';
import { type LookupAddress } from 'node:dns';
import { describe, expect, onTestFinished, test, vi } from 'vitest';

import { parseChallenges } from '../../runner/image/registry/challenge.ts';
import { isRoot, titled } from '../support/requirements.ts';
import { sha256, tar } from './archives.ts';
import { FakeRegistry } from './fake-registry.ts';
import { newStore } from './ground.ts';
import { type Pull, pull } from './pulling.ts';

const ADDRESSES: Readonly<Record<string, string>> = {
  'registry.test': '127.0.0.1',
  'here.test': '127.0.0.1',
  'any.test': '0.0.0.0',
  'metadata.test': '169.254.169.254',
  'metadata6.test': 'fd00:ec2::254',
};

// A registry on this machine that is somewhere else to the program: only its name tells.
vi.mock(import('node:dns'), async (original) => {
  const dns = await original();
  const lookup = (
    name: string,
    options: object,
    callback: (error: Error | null, found: LookupAddress[]) => void,
  ): void => {
    const address = ADDRESSES[name];
    if (address === undefined) dns.lookup(name, { ...options, all: true }, callback);
    else callback(null, [{ address, family: address.includes(':') ? 6 : 4 }]);
  };
  return { ...dns, lookup: lookup as unknown as typeof dns.lookup };
});

const LAYER = tar({ name: 'f', data: 'x'.repeat(100_000) });
const CREDENTIALS = { username: 'me', password: 'secret' };

async function remoteOne(): Promise<[FakeRegistry, Pull]> {
  const remote = await FakeRegistry.open();
  remote.image('1.0', [LAYER]);
  return [remote, { host: remote.host.replace('127.0.0.1', 'registry.test'), tlsVerify: false }];
}

/** Lets a request through to `answer` by what its path has. */
function answering(remote: FakeRegistry, path: string, answer: (response: ServerResponse) => void): void {
  remote.behave = (request, response) => {
    if (request.url?.includes(path) !== true) return false;
    answer(response);
    return true;
  };
}

describe.skipIf(isRoot())(titled('pullImage from another machine', isRoot()), () => {
  test('works by its name, which is looked up', async () => {
    const [remote, options] = await remoteOne();
    await pull(newStore(), remote, ':1.0', options);
    expect(remote.blobRequests).toHaveLength(2);
  });

  // Whoever follows these asks this machine's services, which trust who is on it, or the cloud's for credentials.
  const targets: readonly (readonly [string, RegExp])[] = [
    ['http://127.0.0.1:PORT/x', /this machine/],
    ['http://localhost:PORT/x', /this machine/],
    ['http://LOCALHOST.:PORT/x', /this machine/],
    ['http://app.localhost:PORT/x', /this machine/],
    ['http://2130706433:PORT/x', /this machine/],
    ['http://0x7f.1:PORT/x', /this machine/],
    ['http://0177.0.0.1:PORT/x', /this machine/],
    ['http://[::1]:PORT/x', /this machine/],
    ['http://[::ffff:127.0.0.1]:PORT/x', /this machine/],
    ['http://0.0.0.0:PORT/x', /this machine/],
    ['http://[::]:PORT/x', /this machine/],
    ['http://here.test:PORT/x', /one of this machine/],
    ['http://any.test:PORT/x', /one of this machine/],
    ['http://metadata.test/latest/meta-data/', /link-local/],
    ['http://metadata6.test/latest/meta-data/', /link-local/],
    ['http://169.254.169.254/latest/meta-data/', /link-local/],
    ['http://0xa9fea9fe/latest/meta-data/', /link-local/],
    ['http://[::ffff:a9fe:a9fe]/', /link-local/],
    ['http://[fe80::1]/', /link-local/],
    ['http://[fd00:ec2::23]/', /metadata service/],
    ['http://[64:ff9b::a9fe:a9fe]/', /metadata service/],
    ['http://100.100.100.200/', /metadata service/],
    ['http://168.63.129.16/', /metadata service/],
    ['file:///etc/passwd', /redirected to file:/],
    ['ftp://x.test/', /redirected to ftp:/],
    ['javascript:alert(1)', /redirected to javascript:/],
    ['data:text/plain,x', /redirected to data:/],
    ['http://[', /what is no address/],
  ];

  test.each(targets)('follows no redirect to %s', async (location, message) => {
    const [remote, options] = await remoteOne();
    const port = remote.host.split(':')[1] ?? '';
    for (const kind of ['/blobs/', '/manifests/']) {
      answering(remote, kind, (response) =>
        response.writeHead(307, { location: location.replace('PORT', port) }).end(),
      );
      await expect(pull(newStore(), remote, ':1.0', options)).rejects.toThrow(message);
    }
    expect(remote.requests.filter((line) => line.endsWith('/x'))).toEqual([]);
  });

  test.each([
    ...targets.filter(([location]) => location.startsWith('http')),
    ['file:///etc/passwd', /refused/] as const,
  ])('sends no credentials to the realm %s', async (location, message) => {
    const [remote, options] = await remoteOne();
    const realm = location.replace('PORT', remote.host.split(':')[1] ?? '');
    answering(remote, '/manifests/', (response) =>
      response.writeHead(401, { 'www-authenticate': `Bearer realm="${realm}",service="x"` }).end(),
    );
    const pulled = pull(newStore(), remote, ':1.0', { ...options, credentials: CREDENTIALS });
    await expect(pulled).rejects.toThrow(new RegExp(`${message.source}|refused|no realm`));
    expect(remote.requests.filter((line) => line.includes('/x'))).toEqual([]);
    expect(remote.authorizations.filter((value) => value !== undefined)).toEqual([]);
  });
});

describe.skipIf(isRoot())(titled('pullImage from a registry on this machine', isRoot()), () => {
  // In the clear to another machine, whoever is between reads the password.
  test('sends no credentials over plain http to a realm elsewhere', async () => {
    const [remote] = await remoteOne();
    answering(remote, '/manifests/', (response) =>
      response.writeHead(401, { 'www-authenticate': 'Bearer realm="http://registry.test/token"' }).end(),
    );
    await expect(pull(newStore(), remote, ':1.0', { credentials: CREDENTIALS })).rejects.toThrow(
      /sends credentials to http:\/\/registry.test, which is refused/,
    );
  });

  test('asks a registry that is never satisfied no more often than twice', async () => {
    const [remote] = await remoteOne();
    answering(remote, '/manifests/', (response) =>
      response.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end(),
    );
    await expect(pull(newStore(), remote, ':1.0', { credentials: CREDENTIALS })).rejects.toThrow(/login/);
    expect(remote.requests.filter((line) => line.includes('/manifests/'))).toHaveLength(2);
  });
});

/** Writes for as long as somebody reads. */
function endless(response: ServerResponse, chunk: Buffer, pause = 0): void {
  const timer = setInterval(() => response.write(chunk), pause);
  response.on('close', () => clearInterval(timer));
  onTestFinished(() => clearInterval(timer));
}

// A client without limits reads, waits or keeps memory until somebody stops it.
describe.skipIf(isRoot())(titled('pullImage ends', isRoot()), () => {
  const large = Buffer.alloc(1 << 20, ' ');
  const blob = `/blobs/sha256:${sha256(LAYER)}`;
  const JSON_TYPE = { 'content-type': 'application/vnd.oci.image.manifest.v1+json' };

  const cases: readonly (readonly [string, string, (response: ServerResponse) => void, RegExp])[] = [
    [
      'a manifest without an end',
      '/manifests/',
      (response) => endless(response.writeHead(200, JSON_TYPE), large),
      /longer than 4194304 bytes/,
    ],
    [
      'a layer without an end',
      blob,
      (response) => endless(response.writeHead(200), large),
      /is longer than the \d+ bytes|no tar archive/,
    ],
    [
      'an error without an end',
      '/manifests/',
      (response) => endless(response.writeHead(404), large),
      /has no manifest/,
    ],
    [
      'a redirect with a body without an end',
      '/manifests/',
      (response) => endless(response.writeHead(307, { location: '/v2/other' }), large),
      /has no manifest|404/,
    ],
    [
      'a manifest in drops',
      '/manifests/',
      (response) => endless(response.writeHead(200, JSON_TYPE), Buffer.from(' '), 10),
      /comes too slowly|timeout/,
    ],
    [
      'a layer in drops',
      blob,
      (response) => endless(response.writeHead(200, { 'content-length': LAYER.length }), Buffer.from(' '), 10),
      /comes too slowly/,
    ],
    ['a manifest that does not come', '/manifests/', () => undefined, /timeout/i],
    ['a layer that stops', blob, (response) => void response.writeHead(200).write('x'), /Body Timeout|too slowly/],
    [
      'headers that are too large',
      '/manifests/',
      (response) => response.writeHead(200, { 'x-large': 'x'.repeat(1 << 20) }).end(),
      /Header/,
    ],
    [
      'a thousand headers',
      '/manifests/',
      (response) =>
        response
          .writeHead(200, Object.fromEntries(Array.from({ length: 2000 }, (_, at) => [`x-${at}`, 'y'.repeat(50)])))
          .end(),
      /Header/,
    ],
    [
      'a layer longer than its content-length',
      blob,
      (response) => {
        response.socket?.end(`HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\n${'x'.repeat(LAYER.length)}`);
      },
      /ended after|another content|Parse Error|invalid/i,
    ],
    [
      'a layer shorter than its content-length',
      blob,
      (response) => {
        response.writeHead(200, { 'content-length': LAYER.length + 100 });
        response.write(LAYER.subarray(0, 1000), () => response.destroy());
      },
      /ended after|longer|another content/,
    ],
    [
      'a range that was not asked for',
      blob,
      (response) => response.writeHead(206, { 'content-range': 'bytes 5-9/10' }).end('xxxxx'),
      /sends bytes from 5 on/,
    ],
    ['an empty answer', '/manifests/', (response) => response.writeHead(200, JSON_TYPE).end(), /not JSON/],
    [
      'a page of a portal',
      '/manifests/',
      (response) => response.writeHead(200, { 'content-type': 'text/html' }).end('<html>\x1b[2J'),
      /not JSON/,
    ],
    ['no HTTP', '/manifests/', (response) => response.socket?.end('SSH-2.0-OpenSSH\r\n'), /Parse Error|HTTP/i],
  ];

  test.each(cases)('at %s', async (_, path, answer, message) => {
    const store = newStore();
    const [remote] = await remoteOne();
    answering(remote, path, answer);
    await expect(pull(store, remote, ':1.0', { patience: 200 })).rejects.toThrow(message);
    expect(store.list()).toEqual([]);
  });
});

describe('parseChallenges', () => {
  test('comes to an end on a header of nothing but spaces, commas and quotes', () => {
    for (const part of [' ', ',', ' ,', '"', '\\', 'a ', 'a=', 'a=",', 'Bearer a="\\']) {
      expect(parseChallenges(part.repeat(16_384)).length).toBeLessThanOrEqual(16_384);
      expect(parseChallenges(`Bearer realm="x"${part.repeat(16_384)}`).length).toBeGreaterThan(0);
    }
  });
});
