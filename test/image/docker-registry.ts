import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { temporary } from './ground.ts';

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** What a registry with basic authentication asks for. */
export const USER = { name: 'tester', password: 'secret' } as const;
/** bcrypt, which docker-registry takes alone. */
const HTPASSWD = `${USER.name}:$2b$04$llzriMm71XLerbroj9f3N.m2eB9GmAJlhesU2ldzdJRIlqzKQQvv6\n`;

interface DockerRegistryOptions {
  /** Whether it asks for USER. */
  readonly basic?: boolean;
  /** In the form of its configuration: with it, it speaks TLS. */
  readonly tls?: { readonly certificate: string; readonly key: string; readonly clientcas?: readonly string[] };
}

/** Debian's docker-registry on the loopback interface, for one test. */
export class DockerRegistry {
  readonly host: string;
  readonly #directory: string;
  #server: ChildProcess | undefined;

  private constructor(host: string, directory: string) {
    this.host = host;
    this.#directory = directory;
  }

  static async open({ basic = false, tls }: DockerRegistryOptions = {}): Promise<DockerRegistry> {
    const directory = temporary();
    const host = `127.0.0.1:${await freePort()}`;
    mkdirSync(join(directory, 'data'));
    writeFileSync(join(directory, 'htpasswd'), HTPASSWD);
    const configuration = {
      version: '0.1',
      storage: { filesystem: { rootdirectory: join(directory, 'data') } },
      http: { addr: host, secret: 'the same after a restart', tls },
      ...(basic ? { auth: { htpasswd: { realm: 'test', path: join(directory, 'htpasswd') } } } : {}),
    };
    // JSON is YAML.
    writeFileSync(join(directory, 'config.yml'), JSON.stringify(configuration));
    const registry = new DockerRegistry(host, directory);
    onTestFinished(() => registry.kill());
    await registry.start();
    return registry;
  }

  /** Starts it again, with what it had. */
  async start(): Promise<void> {
    const log = openSync(join(this.#directory, 'log'), 'a');
    const config = join(this.#directory, 'config.yml');
    this.#server = spawn('docker-registry', ['serve', config], { stdio: ['ignore', log, 'ignore'] });
    closeSync(log);
    for (let attempt = 0; attempt < 600; attempt++) {
      const status = await fetch(`http://${this.host}/v2/`).then(
        (response) => response.status,
        () => 0,
      );
      // 400: plain http is not what it speaks.
      if ([200, 400, 401].includes(status)) return;
      await sleep(50);
    }
    throw new Error('docker-registry does not answer');
  }

  async kill(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    if (server === undefined) return;
    const ended = once(server, 'exit');
    server.kill('SIGKILL');
    await ended;
  }

  /** All requests so far that were answered: `METHOD PATH`. */
  get requests(): string[] {
    const log = readFileSync(join(this.#directory, 'log'), 'utf8');
    return [...log.matchAll(/"([A-Z]+ [^ "]+) HTTP/g)].map(([, request = '']) => request);
  }
}

/** A registry's host alone. */
export async function startDockerRegistry(): Promise<string> {
  return (await DockerRegistry.open()).host;
}
