import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, request as forward, type Server } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import { type AddressInfo, connect } from 'node:net';
import { describe, expect, onTestFinished, test, vi } from 'vitest';

import { proxyFor } from '../../runner/image/registry/proxies.ts';
import { Transport } from '../../runner/image/registry/transport.ts';
import { has, isRoot, titled } from '../support/requirements.ts';
import { Lamina } from '../container/lamina.ts';
import { tar } from './archives.ts';
import { Authority } from './authority.ts';
import { FakeRegistry } from './fake-registry.ts';

describe('proxyFor', () => {
  const cases: readonly (readonly [url: string, environment: Readonly<Record<string, string>>, proxy: string])[] = [
    ['http://a.example/', { HTTP_PROXY: 'http://p:1' }, 'http://p:1/'],
    ['http://a.example/', { http_proxy: 'p:1' }, 'http://p:1/'],
    ['https://a.example/', { HTTP_PROXY: 'http://p:1' }, ''],
    ['https://a.example/', { HTTPS_PROXY: 'socks5h://p:1' }, 'socks5://p:1'],
    ['http://127.0.0.1:5000/', { HTTP_PROXY: 'http://p:1' }, ''],
    ['http://localhost/', { HTTP_PROXY: 'http://p:1' }, ''],
    ['http://[::1]:5000/', { HTTP_PROXY: 'http://p:1' }, ''],
    ['http://a.example/', { HTTP_PROXY: 'http://p:1', NO_PROXY: '*' }, ''],
    ['http://a.example/', { HTTP_PROXY: 'http://p:1', NO_PROXY: 'b.example, example' }, ''],
    ['http://example/', { HTTP_PROXY: 'http://p:1', NO_PROXY: '.example' }, 'http://p:1/'],
    ['http://a.example/', { HTTP_PROXY: 'http://p:1', NO_PROXY: '*.example' }, ''],
    ['http://anexample/', { HTTP_PROXY: 'http://p:1', NO_PROXY: 'example' }, 'http://p:1/'],
    ['http://a.example:5000/', { HTTP_PROXY: 'http://p:1', NO_PROXY: 'a.example:5000' }, ''],
    ['http://a.example/', { HTTP_PROXY: 'http://p:1', NO_PROXY: 'a.example:5000' }, 'http://p:1/'],
    ['http://10.1.2.3/', { HTTP_PROXY: 'http://p:1', no_proxy: '10.1.0.0/16' }, ''],
    ['http://10.2.2.3/', { HTTP_PROXY: 'http://p:1', NO_PROXY: '10.1.0.0/16,x/y,10.0.0.0/99' }, 'http://p:1/'],
    ['http://[fd00::1]/', { HTTP_PROXY: 'http://p:1', NO_PROXY: 'fd00::1' }, ''],
    ['http://[fd00::1]:80/', { HTTP_PROXY: 'http://p:1', NO_PROXY: '[fd00::1]:80' }, ''],
    ['http://[fd00::1]/', { HTTP_PROXY: 'http://p:1', NO_PROXY: 'fd00::/8' }, ''],
  ];
  test.each(cases)('%s in %j', (url, environment, proxy) => {
    expect(proxyFor(new URL(url), environment)?.href ?? '').toBe(proxy);
  });

  test('says what is wrong with a proxy, without its password', () => {
    const environment = { HTTPS_PROXY: 'ftp://me:secret@p' };
    expect(() => proxyFor(new URL('https://a.example'), environment)).toThrow(/^(?!.*secret)HTTPS_PROXY is no URL/);
  });
});

/** A proxy on the loopback interface that leads every host to one server, and keeps what it was asked for. */
class TestProxy {
  readonly asked: string[] = [];
  readonly authorizations: (string | undefined)[] = [];
  readonly #target: () => string;
  readonly #server: Server;

  private constructor(target: () => string) {
    this.#target = target;
    this.#server = createServer((incoming, response) => {
      this.#note(incoming);
      const [hostname = '', port = ''] = this.#target().split(':');
      const { pathname, search } = new URL(incoming.url ?? '');
      const options = { hostname, port, path: pathname + search, method: incoming.method, headers: incoming.headers };
      const outgoing = forward(options, (answer) => {
        response.writeHead(answer.statusCode ?? 500, answer.headers);
        answer.pipe(response);
      });
      incoming.pipe(outgoing);
    });
    this.#server.on('connect', (incoming: IncomingMessage, socket) => {
      this.#note(incoming);
      const [hostname = '', port = ''] = this.#target().split(':');
      const onward = connect(Number(port), hostname, () => {
        socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
        onward.pipe(socket).pipe(onward);
      });
      onward.on('error', () => socket.destroy());
      socket.on('error', () => onward.destroy());
    });
  }

  #note({ method = '', url = '', headers }: IncomingMessage): void {
    this.asked.push(`${method} ${url}`);
    this.authorizations.push(headers['proxy-authorization']);
  }

  static async open(target: () => string): Promise<TestProxy> {
    const proxy = new TestProxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => {
      proxy.#server.closeAllConnections();
      proxy.#server.close();
    });
    return proxy;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }
}

describe.skipIf(isRoot())(titled('lamina push and pull by a proxy', isRoot()), () => {
  test('reach a registry that only the proxy knows, with its credentials for the proxy alone', async () => {
    const [remote, maker] = [await FakeRegistry.open(), new Lamina()];
    onTestFinished(() => maker.close());
    const proxy = await TestProxy.open(() => remote.host);
    const architecture = process.arch === 'x64' ? 'amd64' : process.arch;
    remote.image('1', [tar({ name: 'file', data: 'x' })], undefined, architecture);
    const env = { HTTP_PROXY: `http://user:word@${proxy.host}`, HTTPS_PROXY: `http://user:word@${proxy.host}` };
    const name = 'registry.invalid/team/app';
    // TLS comes first, as without a proxy: this server has none.
    const pulled = await maker.call(['pull', '--quiet', '--tls-verify=false', `${name}:1`], { env });
    expect(pulled.stderr).toBe('');
    const pushed = await maker.call(['push', '--quiet', '--tls-verify=false', `${name}:1`, `${name}:2`], { env });
    expect(pushed).toEqual({ code: 0, stdout: `${name}:2\n`, stderr: '' });
    expect(proxy.asked[0]).toBe('CONNECT registry.invalid:443');
    expect(proxy.asked).toContain(`GET http://registry.invalid/v2/team/app/manifests/1`);
    expect(proxy.asked).toContain(`PUT http://registry.invalid/v2/team/app/manifests/2`);
    const credentials = `Basic ${Buffer.from('user:word').toString('base64')}`;
    expect(new Set(proxy.authorizations)).toEqual(new Set([credentials]));
    expect(new Set(remote.authorizations)).toEqual(new Set([undefined]));
    // What is excepted goes by itself, and there is no such host.
    const excepted = await maker.call(['pull', `${name}:1`], { env: { ...env, NO_PROXY: 'invalid' } });
    expect(excepted.stderr).toMatch(/registry\.invalid/);
    const asked = proxy.asked.length;
    expect((await maker.call(['pull', '-q', `${remote.host}/team/app:1`], { env })).code).toBe(0);
    expect(proxy.asked).toHaveLength(asked);
  });

  test('import reaches a URL that only the proxy knows, and an excepted one by itself', async () => {
    const [remote, lamina] = [await FakeRegistry.open(), new Lamina()];
    onTestFinished(() => lamina.close());
    remote.behave = (request, response) => {
      if (request.url !== '/moved/root.tar') return false;
      response.writeHead(200).end(tar({ name: 'file', data: 'x' }));
      return true;
    };
    const proxy = await TestProxy.open(() => remote.host);
    const env = { http_proxy: proxy.host, HTTPS_PROXY: `http://${proxy.host}`, NO_PROXY: 'excepted.invalid' };
    const imported = await lamina.call(['import', 'http://files.invalid/moved/root.tar', 'got:1'], { env });
    expect(imported).toMatchObject({ code: 0, stderr: '' });
    expect(proxy.asked).toEqual(['GET http://files.invalid/moved/root.tar']);
    expect((await lamina.call(['image', 'inspect', 'got:1'])).code).toBe(0);
    const missing = await lamina.call(['import', 'http://files.invalid/none'], { env });
    expect(missing.stderr).toBe('lamina: cannot import http://files.invalid/none: the server answers 404 Not Found\n');
    // The server has no TLS; that it was asked for is what counts.
    const secure = await lamina.call(['import', 'https://files.invalid/root.tar'], { env });
    expect(secure.code).toBe(1);
    expect(proxy.asked.at(-1)).toBe('CONNECT files.invalid:443');
    const asked = proxy.asked.length;
    const excepted = await lamina.call(['import', 'http://excepted.invalid/root.tar'], { env });
    expect(excepted.stderr).toMatch(/excepted\.invalid.*there is no such host/);
    expect(proxy.asked).toHaveLength(asked);
  });

  test.skipIf(has('openssl'))(
    'goes through its tunnel to a registry that is held to its certificates, and is shown ours',
    async () => {
      const authority = new Authority();
      const [server, me] = [authority.issue('registry.invalid'), authority.issue('me')];
      const options = { cert: readFileSync(server.cert), key: readFileSync(server.key), requestCert: true };
      let peer = '';
      const secure = createSecureServer({ ...options, rejectUnauthorized: false }, (_, response) => response.end(peer));
      secure.on('secureConnection', (socket) => {
        const { subject } = socket.getPeerCertificate() as { subject?: { CN?: unknown } };
        peer = String(subject?.CN);
      });
      await new Promise<void>((resolve) => secure.listen(0, '127.0.0.1', resolve));
      const proxy = await TestProxy.open(() => `127.0.0.1:${(secure.address() as AddressInfo).port}`);
      const clients = [{ cert: readFileSync(me.cert), key: readFileSync(me.key) }];
      const ask = async (authorities: readonly Buffer[], host: string): Promise<string> => {
        const certificates = { authorities, clients };
        const transport = new Transport({ tlsVerify: true, backOff: 1, certificates, host });
        try {
          const { body } = await transport.send({ method: 'GET', url: new URL('https://registry.invalid/') });
          return await body.text();
        } finally {
          await transport.close();
        }
      };
      vi.stubEnv('HTTPS_PROXY', `http://${proxy.host}`);
      onTestFinished(() => {
        vi.unstubAllEnvs();
        secure.closeAllConnections();
        secure.close();
      });
      const known = [readFileSync(authority.cert)];
      expect(await ask(known, 'registry.invalid')).toBe('me');
      expect(await ask(known, 'other.invalid')).toBe('undefined');
      await expect(ask([], 'registry.invalid')).rejects.toThrow(/by the proxy .*no known authority vouches/);
      expect(proxy.asked).toEqual(Array(3).fill('CONNECT registry.invalid:443'));
    },
  );

  test('says which proxy it was that could not be reached', async () => {
    const transport = new Transport({ tlsVerify: true, backOff: 1 });
    const { HTTP_PROXY: before } = process.env;
    process.env['HTTP_PROXY'] = 'http://127.0.0.1:1';
    try {
      const sent = transport.send({ method: 'GET', url: new URL('http://registry.invalid/v2/') });
      await expect(sent).rejects.toThrow(/by the proxy 127\.0\.0\.1:1: .*ECONNREFUSED/);
    } finally {
      if (before === undefined) delete process.env['HTTP_PROXY'];
      else process.env['HTTP_PROXY'] = before;
      await transport.close();
    }
  });
});
