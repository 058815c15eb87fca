import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { type AddressInfo } from 'node:net';
import { onTestFinished } from 'vitest';
import { sha256 } from './archives.ts';

const MANIFEST = 'application/vnd.oci.image.manifest.v1+json';
const INDEX = 'application/vnd.oci.image.index.v1+json';

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

interface Descriptor {
  readonly mediaType: string;
  readonly digest: string;
  readonly size: number;
}

/** A registry that does as a test tells it; `behave` comes before its own answers. */
export class FakeRegistry {
  /** `METHOD PATH`, with the range where one is asked for. */
  readonly requests: string[] = [];
  /** Values of the Authorization headers that came. */
  readonly authorizations: (string | undefined)[] = [];
  /** Answers true where it has taken care of the request. */
  behave: (request: IncomingMessage, response: ServerResponse) => boolean = () => false;
  readonly blobs = new Map<string, Buffer>();
  readonly manifests = new Map<string, { readonly bytes: Buffer; readonly mediaType: string }>();
  /** Uploads that are under way, by their ids: what has come of them. */
  readonly uploads = new Map<string, Buffer>();
  /** Repositories that a blob can be mounted from, as `PATH sha256:...`. */
  readonly mountable = new Set<string>();
  /** Whether an upload that broke can be asked after. */
  keepsBroken = true;
  readonly #server = createServer((request, response) => this.#answer(request, response));

  static async open(): Promise<FakeRegistry> {
    const registry = new FakeRegistry();
    await new Promise<void>((resolve) => registry.#server.listen(0, '127.0.0.1', resolve));
    onTestFinished(() => registry.close());
    return registry;
  }

  get host(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  close(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  /** Puts an image under a tag; answers its manifest's descriptor. */
  image(
    tag: string,
    layers: readonly Buffer[],
    contents: readonly Buffer[] = layers,
    architecture = 'amd64',
  ): Descriptor {
    const diffIds = contents.map((layer) => `sha256:${sha256(layer)}`);
    const config = { os: 'linux', architecture, config: {}, rootfs: { type: 'layers', diff_ids: diffIds } };
    const manifest = {
      schemaVersion: 2,
      mediaType: MANIFEST,
      config: this.blob(Buffer.from(JSON.stringify(config)), 'application/vnd.oci.image.config.v1+json'),
      layers: layers.map((layer) => this.blob(layer, 'application/vnd.oci.image.layer.v1.tar')),
    };
    return this.document(tag, manifest, MANIFEST);
  }

  index(tag: string, manifests: readonly object[]): Descriptor {
    return this.document(tag, { schemaVersion: 2, mediaType: INDEX, manifests }, INDEX);
  }

  document(tag: string, document: object, mediaType: string): Descriptor {
    const bytes = Buffer.from(JSON.stringify(document));
    const digest = `sha256:${sha256(bytes)}`;
    for (const name of [tag, digest]) this.manifests.set(name, { bytes, mediaType });
    return { mediaType, digest, size: bytes.length };
  }

  blob(bytes: Buffer, mediaType: string): Descriptor {
    const digest = `sha256:${sha256(bytes)}`;
    this.blobs.set(digest, bytes);
    return { mediaType, digest, size: bytes.length };
  }

  /** Requests for blobs. */
  get blobRequests(): string[] {
    return this.requests.filter((line) => line.includes('/blobs/'));
  }

  readonly #answer: Handler = (request, response) => {
    const range = request.headers.range;
    this.requests.push(`${request.method ?? ''} ${request.url ?? ''}${range === undefined ? '' : ` ${range}`}`);
    this.authorizations.push(request.headers.authorization);
    if (this.behave(request, response)) return;
    const upload = /^\/v2\/(.+)\/blobs\/uploads\/([^?]*)/.exec(request.url ?? '');
    if (upload !== null) {
      this.#upload(upload[1] ?? '', upload[2] ?? '', request, response);
      return;
    }
    const [, kind, name = ''] = /^\/v2\/.+\/(manifests|blobs)\/([^/]+)$/.exec(request.url ?? '') ?? [];
    if (request.url === '/v2/') response.writeHead(200).end();
    else if (kind === 'manifests' && request.method === 'PUT') this.#takeManifest(name, request, response);
    else if (kind === 'manifests') this.#sendManifest(name, response);
    else if (kind === 'blobs') this.sendBlob(name, request, response);
    else response.writeHead(404).end();
  };

  #takeManifest(name: string, request: IncomingMessage, response: ServerResponse): void {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const bytes = Buffer.concat(chunks);
      const digest = `sha256:${sha256(bytes)}`;
      for (const key of [name, digest])
        this.manifests.set(key, { bytes, mediaType: request.headers['content-type'] ?? '' });
      response.writeHead(201, { 'docker-content-digest': digest }).end();
    });
  }

  #upload(repository: string, id: string, request: IncomingMessage, response: ServerResponse): void {
    const url = new URL(request.url ?? '', 'http://x');
    const before = this.uploads.get(id);
    if (request.method === 'POST') this.#beginUpload(repository, url.searchParams, response);
    else if (before === undefined) response.writeHead(404).end();
    else if (request.method === 'GET') this.#location(repository, id, response, 204);
    else if (request.method === 'DELETE') {
      this.uploads.delete(id);
      response.writeHead(204).end();
    } else {
      request.on('data', (chunk: Buffer) => {
        if (this.keepsBroken) this.uploads.set(id, Buffer.concat([this.uploads.get(id) ?? Buffer.alloc(0), chunk]));
      });
      request.on('error', () => undefined);
      request.on('end', () => {
        if (request.method === 'PATCH') this.#location(repository, id, response, 202);
        else this.#endUpload(id, url.searchParams.get('digest') ?? '', response);
      });
    }
  }

  #beginUpload(repository: string, query: URLSearchParams, response: ServerResponse): void {
    const [digest, from] = [query.get('mount'), query.get('from')];
    if (digest !== null && this.mountable.has(`${from ?? ''} ${digest}`)) {
      response.writeHead(201, { location: `/v2/${repository}/blobs/${digest}` }).end();
      return;
    }
    const id = `u${this.requests.length}`;
    this.uploads.set(id, Buffer.alloc(0));
    this.#location(repository, id, response, 202);
  }

  #location(repository: string, id: string, response: ServerResponse, status: number): void {
    const length = this.uploads.get(id)?.length ?? 0;
    const headers = {
      location: `/v2/${repository}/blobs/uploads/${id}?state=a%2Fb`,
      range: `0-${Math.max(length - 1, 0)}`,
    };
    response.writeHead(status, headers).end();
  }

  #endUpload(id: string, digest: string, response: ServerResponse): void {
    const bytes = this.uploads.get(id) ?? Buffer.alloc(0);
    this.uploads.delete(id);
    if (`sha256:${sha256(bytes)}` === digest) {
      this.blobs.set(digest, bytes);
      response.writeHead(201, { 'docker-content-digest': digest }).end();
    } else {
      const errors = [{ code: 'DIGEST_INVALID', message: 'provided digest did not match uploaded content' }];
      response.writeHead(400, { 'content-type': 'application/json' }).end(JSON.stringify({ errors }));
    }
  }

  #sendManifest(name: string, response: ServerResponse): void {
    const found = this.manifests.get(name);
    if (found === undefined) {
      const errors = [{ code: 'MANIFEST_UNKNOWN', message: 'manifest unknown' }];
      response.writeHead(404, { 'content-type': 'application/json' }).end(JSON.stringify({ errors }));
    } else {
      response.writeHead(200, { 'content-type': found.mediaType }).end(found.bytes);
    }
  }

  sendBlob(digest: string, request: IncomingMessage, response: ServerResponse): void {
    const bytes = this.blobs.get(digest);
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.range ?? '')?.[1] ?? 0);
    if (bytes === undefined) response.writeHead(404).end();
    else if (from === 0) response.writeHead(200, { 'content-length': bytes.length }).end(bytes);
    else {
      const part = bytes.subarray(from);
      const range = `bytes ${from}-${bytes.length - 1}/${bytes.length}`;
      response.writeHead(206, { 'content-length': part.length, 'content-range': range }).end(part);
    }
  }
}
