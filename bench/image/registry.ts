import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { request } from 'undici';
import { type Blob, type Fixture } from './fixture.ts';

/** The repository and tag that images have in a registry. */
export const IMAGE = 'bench/image:1';
const [REPOSITORY = '', TAG = ''] = IMAGE.split(':');
const POLL = 50;
const POLLS = 1200;

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** Debian's docker-registry on the loopback interface, empty at first. */
export class LocalRegistry {
  readonly host: string;
  readonly #server: ChildProcess;

  private constructor(host: string, server: ChildProcess) {
    this.host = host;
    this.#server = server;
  }

  /** @param directory a new one, where it keeps what it gets. */
  static async open(directory: string): Promise<LocalRegistry> {
    const host = `127.0.0.1:${await freePort()}`;
    await mkdir(directory, { recursive: true });
    const configuration = {
      version: '0.1',
      log: { accesslog: { disabled: true }, level: 'error' },
      storage: { filesystem: { rootdirectory: join(directory, 'data') } },
      http: { addr: host },
    };
    const path = join(directory, 'config.yml');
    // JSON is YAML.
    await writeFile(path, JSON.stringify(configuration));
    const server = spawn('docker-registry', ['serve', path], { stdio: 'ignore' });
    const registry = new LocalRegistry(host, server);
    try {
      await registry.#answers();
    } catch (error) {
      await registry.close();
      throw error;
    }
    return registry;
  }

  async #answers(): Promise<void> {
    let failure: unknown;
    this.#server.on('error', (error) => (failure = error));
    for (let polls = 0; polls < POLLS; polls++) {
      if (failure !== undefined) throw new Error('docker-registry cannot be started', { cause: failure });
      const status = await fetch(`http://${this.host}/v2/`).then(
        (response) => response.status,
        () => 0,
      );
      if (status === 200) return;
      await sleep(POLL);
    }
    throw new Error(`docker-registry does not answer at ${this.host}`);
  }

  async close(): Promise<void> {
    if (this.#server.pid === undefined || this.#server.exitCode !== null) return;
    const ended = once(this.#server, 'exit');
    this.#server.kill('SIGKILL');
    await ended;
  }

  async put({ directory, blobs, manifest }: Fixture): Promise<void> {
    for (const blob of blobs) await this.#putBlob(blob, join(directory, blob.digest));
    const body = await readFile(join(directory, manifest.digest));
    const url = `http://${this.host}/v2/${REPOSITORY}/manifests/${TAG}`;
    await this.#put(url, body, { 'content-type': manifest.mediaType });
  }

  async #putBlob({ digest, size }: Blob, path: string): Promise<void> {
    const begun = await request(`http://${this.host}/v2/${REPOSITORY}/blobs/uploads/`, { method: 'POST' });
    await begun.body.dump();
    const url = new URL(String(begun.headers['location']), `http://${this.host}`);
    url.searchParams.set('digest', digest);
    const headers = { 'content-type': 'application/octet-stream', 'content-length': String(size) };
    await this.#put(url.href, createReadStream(path), headers);
  }

  async #put(
    url: string,
    body: Parameters<typeof request>[1] extends infer Options
      ? Options extends { body?: infer Body }
        ? Body
        : never
      : never,
    headers: Record<string, string>,
  ): Promise<void> {
    const { statusCode, body: answer } = await request(url, { method: 'PUT', body: body ?? null, headers });
    const text = await answer.text();
    if (statusCode !== 201) throw new Error(`docker-registry answers ${statusCode} to PUT ${url}: ${text}`);
  }
}
