import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { beforeEach, describe, expect, onTestFinished, test } from 'vitest';

import { readCertificates } from '../../runner/image/registry/certificates.ts';
import { Tls } from '../../runner/image/registry/tls.ts';
import { ended, type Outcome } from '../container/lamina.ts';
import { DIST } from '../support/paths.ts';
import { firstMissing, has, isRoot, titled } from '../support/requirements.ts';
import { dockerArchive, tar } from './archives.ts';
import { Authority, type Certificate, OtherEtc, placeCertificates } from './authority.ts';
import { CommandLine } from './command-line.ts';
import { DockerRegistry } from './docker-registry.ts';
import { temporary } from './ground.ts';

const NAME = 'registry.test';
const OTHER = 'other.test';
// A dozen starts of the program.
const LONG = { timeout: 180_000 };
const IMAGE = dockerArchive({ layers: [tar({ name: 'file', data: 'x' })], names: ['app:1'] });

describe('readCertificates', () => {
  const environment = { HOME: '/nonexistent' };
  const pem = (what: string): string => `-----BEGIN ${what}-----\n`;

  test('takes authorities and pairs from the first directory of the host that is there', () => {
    const home = temporary();
    const of = (parent: string): string => join(home, '.config', parent, 'certs.d/a.test:5000');
    mkdirSync(of('docker'), { recursive: true });
    writeFileSync(join(of('docker'), 'x.crt'), pem('DOCKER'));
    expect(readCertificates('a.test:5000', undefined, { HOME: home }).authorities.map(String)).toEqual([pem('DOCKER')]);
    mkdirSync(of('containers'), { recursive: true });
    for (const name of ['b.crt', 'a.crt', 'me.cert', 'me.key', 'README'])
      writeFileSync(join(of('containers'), name), pem(name));
    const { authorities, clients } = readCertificates('a.test:5000', undefined, { HOME: home });
    expect(authorities.map(String)).toEqual([pem('a.crt'), pem('b.crt')]);
    expect(clients.map(({ cert, key }) => [String(cert), String(key)])).toEqual([[pem('me.cert'), pem('me.key')]]);
    expect(readCertificates('a.test', undefined, { HOME: home })).toEqual({ authorities: [], clients: [] });
  });

  test.each([
    [['me.cert'], /client certificate \S+me\.cert is without its key me\.key; that of an authority ends in \.crt/],
    [['me.key'], /key \S+me\.key is without its certificate: its name ends in \.cert/],
  ])('refuses %j', (names, message) => {
    const directory = temporary();
    for (const name of names) writeFileSync(join(directory, name), pem('X'));
    expect(() => readCertificates('a.test', directory, environment)).toThrow(message);
  });

  test('says what is not PEM, or not there', () => {
    const directory = temporary();
    writeFileSync(join(directory, 'ca.crt'), 'nothing');
    expect(() => readCertificates('a.test', directory, environment)).toThrow(/ca\.crt is not PEM/);
    expect(() => readCertificates('a.test', join(directory, 'none'), environment)).toThrow(/ENOENT.*none/);
  });
});

/** A server of TLS that is no registry: it answers with the name of who asks. */
async function serve({ cert, key }: Certificate): Promise<number> {
  const options = { cert: readFileSync(cert), key: readFileSync(key), requestCert: true, rejectUnauthorized: false };
  const server = createServer(options);
  server.on('secureConnection', (socket) => {
    const { subject } = socket.getPeerCertificate() as { subject?: { CN?: unknown } };
    server.once('request', (_, response) => response.end(String(subject?.CN)));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  return (server.address() as AddressInfo).port;
}

describe.skipIf(has('openssl'))(titled('Tls', has('openssl')), () => {
  test('shows our certificate to the registry, and to no host that it leads to', async () => {
    const authority = new Authority();
    const [{ cert, key }, ca] = [authority.issue('me'), readFileSync(authority.cert)];
    const certificates = { authorities: [ca], clients: [{ cert: readFileSync(cert), key: readFileSync(key) }] };
    const tls = new Tls({ tlsVerify: true, certificates, host: NAME });
    const connect = tls.connector((_, __, callback) => callback(null, [{ address: '127.0.0.1', family: 4 }]));
    const dispatcher = new Agent({ connect });
    onTestFinished(() => dispatcher.destroy());
    for (const [host, subject] of [
      [NAME, 'me'],
      [OTHER, 'undefined'],
    ] as const) {
      const { body } = await request(`https://${host}:${await serve(authority.issue(host))}/`, { dispatcher });
      expect([host, await body.text()]).toEqual([host, subject]);
    }
  });
});

const missing = firstMissing(isRoot(), has('docker-registry'), has('skopeo'), has('openssl'));

describe.skipIf(missing)(titled('lamina and a registry of TLS', missing), () => {
  let authority: Authority;
  let etc: OtherEtc;
  let lamina: CommandLine;

  beforeEach(() => {
    authority = new Authority();
    etc = new OtherEtc(NAME, OTHER);
    lamina = new CommandLine(...etc.prefix);
  });

  async function openRegistry(clientcas?: readonly string[]): Promise<string> {
    const { cert, key } = authority.issue(NAME);
    const tls = { certificate: cert, key, ...(clientcas === undefined ? {} : { clientcas }) };
    return (await DockerRegistry.open({ tls })).host.replace(/^.*:/, '');
  }

  /** The program, beside servers of the test's own. */
  function call(...args: readonly string[]): Promise<Outcome> {
    const [file = '', ...rest] = [...lamina.command, ...args];
    return ended(spawn(file, rest, { env: { ...process.env, LAMINA_ROOT: lamina.root } }));
  }

  /** One line, and nothing else. */
  function expectFailure({ status, stdout, stderr }: ReturnType<CommandLine['call']>, message: RegExp): void {
    expect({ status, stdout, lines: stderr.split('\n').length }).toEqual({ status: 1, stdout: '', lines: 2 });
    expect(stderr).toMatch(message);
  }

  test('trusts the authorities of certs.d, --cert-dir and the machine, and nobody else', LONG, async () => {
    lamina.output(['load'], IMAGE);
    const host = `${NAME}:${await openRegistry()}`;
    const name = `${host}/team/app:1`;
    expectFailure(
      lamina.call(['push', '-q', 'app:1', name]),
      /no known authority vouches .* put the authority's into \/etc\/containers\/certs\.d\/registry\.test:\d+\/ca\.crt; --tls-verify=false/,
    );
    const places = [
      etc.path(`docker/certs.d/${host}`),
      etc.path(`containers/certs.d/${host}`),
      join(etc.home, '.config/containers/certs.d', host),
    ];
    lamina.output(['push', '-q', '--tls-verify=false', 'app:1', `${name}-unverified`]);
    for (const place of places) {
      placeCertificates(place, authority.cert);
      expect(lamina.output(['push', '-q', 'app:1', name])).toBe(`${name}\n`);
      // One that knows another authority, and comes first, counts.
      placeCertificates(place, undefined);
    }
    expectFailure(lamina.call(['pull', '-q', name]), /no known authority vouches/);
    const chosen = join(temporary(), 'chosen');
    placeCertificates(chosen, authority.cert);
    expect(lamina.output(['pull', '-q', '--cert-dir', chosen, name])).toMatch(/^sha256:/);
    const withVariable = new CommandLine(...etc.prefix, 'env', `SSL_CERT_FILE=${authority.cert}`);
    expect(withVariable.output(['pull', name])).toMatch(/^registry\.test/);
    const launched = [...etc.prefix, 'env', `NODE_EXTRA_CA_CERTS=${authority.cert}`, `LAMINA_ROOT=${lamina.root}`];
    const [env, ...words] = [...launched, join(DIST, 'cli/lamina'), 'pull', '-q', name];
    expect(execFileSync(env, words, { encoding: 'utf8' })).toMatch(/^sha256:/);
    // As podman and skopeo take it, and have put it.
    placeCertificates(places[2] ?? '', authority.cert);
    const copy = new CommandLine(...etc.prefix, 'skopeo', 'copy', '-q', `docker://${name}`, `docker://${name}-copied`);
    const copied = spawn(copy.command[0] ?? '', copy.command.slice(1, -2), { stdio: 'ignore' });
    expect((await ended(copied)).code).toBe(0);
    const fresh = new CommandLine(...etc.prefix);
    expect(fresh.output(['pull', '-q', `${name}-copied`])).toBe(lamina.output(['pull', '-q', name]));
    expectFailure(
      lamina.call(['pull', `${OTHER}:${host.split(':')[1] ?? ''}/team/app:1`, '--cert-dir', chosen]),
      /its certificate is for another host/,
    );
  });

  test('shows its own certificate to the registry, and says where it is to be where that is wanted', async () => {
    lamina.output(['load'], IMAGE);
    const port = await openRegistry([authority.cert]);
    const name = `${NAME}:${port}/team/app:1`;
    const place = etc.path(`containers/certs.d/${NAME}:${port}`);
    placeCertificates(place, authority.cert);
    expectFailure(
      lamina.call(['push', '-q', 'app:1', name]),
      /a certificate that it knows: put one into \/etc\/containers\/certs\.d\/registry\.test:\d+\/client\.cert, its key beside it/,
    );
    placeCertificates(place, authority.cert, new Authority().issue('stranger'));
    expectFailure(lamina.call(['push', '-q', 'app:1', name]), /a certificate that it knows/);
    placeCertificates(place, authority.cert, authority.issue('me'));
    expect(lamina.output(['push', '-q', 'app:1', name])).toBe(`${name}\n`);
    expect(new CommandLine(...etc.prefix).output(['pull', '-q', name])).toMatch(/^sha256:/);
    // Also where its own is not looked at.
    expect(lamina.output(['pull', '-q', '--tls-verify=false', name])).toMatch(/^sha256:/);
  });

  test('says that a certificate has expired', async () => {
    const host = `${NAME}:${await serve(authority.issue(NAME, -1))}`;
    placeCertificates(etc.path(`containers/certs.d/${host}`), authority.cert);
    const { code, stderr } = await call('pull', '-q', `${host}/team/app:1`);
    expect(code).toBe(1);
    expect(stderr).toMatch(/^lamina: cannot pull \S+: GET \S+: .*its certificate is valid no more; .*clock right\?\n$/);
  });
});
