import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open } from 'node:fs/promises';
import { finishDigest } from '../digest.ts';
import { type Descriptor } from '../manifest.ts';
import { type Registry } from './registry.ts';
import { describeFailure, type HttpRequest, type HttpResponse, isPassing, isPassingStatus } from './transport.ts';

/** Attempts in a row that get the registry no further. */
const ATTEMPTS = 5;
/** Bytes of a chunk: more than a socket's high-water mark, so that each is written before another is asked for. */
const READ = 1 << 18;
/** One that is written, one that waits, one that is read, and some to spare. */
const BUFFERS = 6;
/** Milliseconds that a registry may take to put a large blob in its place. */
const PATIENCE = 300_000;
const CONTENT_TOO_LARGE = 413;
/** 202, by the specification. */
const TAKEN: ReadonlySet<number> = new Set([201, 202, 204]);
/** Bytes of a piece, where a registry or a proxy before it does not take a blob in one. */
const FIRST_PIECE = 64 << 20;
const SMALLEST_PIECE = 1 << 20;

export interface UploadOptions {
  /** Is told how many bytes have been sent; fewer than before where some must go again. */
  readonly progress: (bytes: number) => void;
  readonly signal: AbortSignal;
}

/**
 * Sends a blob of the store to a registry: in one piece where nothing breaks. After a break the registry is asked how
 * much it has, and the rest is sent; one that cannot tell gets the blob anew.
 */
export class BlobUpload {
  readonly #registry: Registry;
  readonly #descriptor: Descriptor;
  readonly #path: string;
  readonly #options: UploadOptions;
  /** Where the registry takes the next step; undefined before the first. */
  #location: URL | undefined;
  /** Bytes that the registry has. */
  #offset = 0;
  /** The most that it ever had. */
  #furthest = 0;
  #piece = Infinity;
  #smallest = SMALLEST_PIECE;
  #isDoubted = false;

  /** @param location of an upload that the registry has begun already. */
  constructor(
    registry: Registry,
    descriptor: Descriptor,
    path: string,
    options: UploadOptions,
    location: URL | undefined,
  ) {
    this.#registry = registry;
    this.#descriptor = descriptor;
    this.#path = path;
    this.#options = options;
    this.#location = location;
  }

  async run(): Promise<void> {
    await this.#checkSize();
    try {
      await this.#persevere();
    } catch (error) {
      if (this.#location !== undefined) await this.#registry.abandonUpload(this.#location);
      throw error;
    }
  }

  async #checkSize(): Promise<void> {
    const { digest, size } = this.#descriptor;
    const file = await open(this.#path);
    try {
      const found = (await file.stat()).size;
      if (found !== size) throw new Error(`blob ${digest} of the store is damaged: ${found} of ${size} bytes`);
    } finally {
      await file.close();
    }
  }

  async #persevere(): Promise<void> {
    for (let idle = 1; ; idle++) {
      const before = this.#furthest;
      const failure = await this.#attempt();
      if (failure === undefined) return;
      this.#options.signal.throwIfAborted();
      if (this.#furthest > before) idle = 1;
      if (idle === ATTEMPTS) throw failure.error;
      await this.#registry.transport.wait(idle, failure.retryAfter, this.#options.signal);
      await this.#ask();
    }
  }

  /** Goes from where the registry is to the end; answers what stopped it, where that may be gone at the next attempt. */
  async #attempt(): Promise<Failure | undefined> {
    try {
      this.#location ??= await this.#begin();
      const { size } = this.#descriptor;
      while (this.#offset < size && (this.#offset > 0 || this.#piece < size)) {
        const failure = await this.#sendPiece(this.#location);
        if (failure !== undefined) return failure;
      }
      return await this.#finish(this.#location);
    } catch (error) {
      if (!(error instanceof StepError)) throw error;
      return { error };
    }
  }

  async #begin(): Promise<URL> {
    this.#offset = 0;
    const { signal } = this.#options;
    const response = await this.#registry.request({ method: 'POST', path: 'blobs/uploads/', signal });
    if (response.status !== 202) throw await this.#refusal(response);
    await response.body.dump();
    const least = Number(response.headers['oci-chunk-min-length'] ?? 0);
    if (Number.isSafeInteger(least) && least > 0) this.#smallest = least;
    return this.#registry.uploadLocation(response);
  }

  async #sendPiece(location: URL): Promise<Failure | undefined> {
    const { size } = this.#descriptor;
    const end = Math.min(size, this.#offset + this.#piece);
    const { headers, body } = this.#body(this.#offset, end);
    const ranged = { ...headers, 'content-range': `${this.#offset}-${end - 1}` };
    const response = await this.#step({ method: 'PATCH', url: location, headers: ranged, body });
    if (!TAKEN.has(response.status)) return this.#stopped(response);
    await response.body.dump();
    this.#advance(endOf(response) ?? end, end);
    this.#location = this.#registry.uploadLocation(response);
    return undefined;
  }

  #advance(to: number, sent: number): void {
    if (to <= this.#offset || to > sent) {
      throw new Error(`${this.#registry.host} has ${to} bytes of blob ${this.#descriptor.digest}, of ${sent} sent`);
    }
    this.#offset = to;
    this.#furthest = Math.max(this.#furthest, to);
  }

  /** The last step: with all bytes where none have been sent, else without any. */
  async #finish(location: URL): Promise<Failure | undefined> {
    const { digest, size } = this.#descriptor;
    const url = new URL(location);
    // The registry's own parameters may be signed, so they stay as they are.
    url.search += `${url.search === '' ? '?' : '&'}digest=${encodeURIComponent(digest)}`;
    const body = this.#body(this.#offset, size);
    const response = await this.#step({ method: 'PUT', url, ...body, patience: PATIENCE });
    if (response.status !== 201) return this.#stopped(response);
    await response.body.dump();
    this.#registry.checkDigest(response, digest, `blob ${digest}`);
    this.#options.progress(size);
    return undefined;
  }

  async #stopped(response: HttpResponse): Promise<Failure> {
    const { status, headers } = response;
    if (status === CONTENT_TOO_LARGE && this.#piece > this.#smallest) {
      await response.body.dump();
      this.#piece = Math.max(Math.min(FIRST_PIECE, this.#piece / 4), this.#smallest);
      return { error: new Error('it is too large') };
    }
    const error = await this.#refusal(response);
    if (status === 400) await this.#doubt(error);
    // The registry has lost the upload, or lost count.
    else if (status === 404 || status === 416) this.#location = undefined;
    else if (!isPassingStatus(status)) throw error;
    return { error, retryAfter: headers['retry-after'] };
  }

  /** The registry found another digest: the store's file is damaged, or what was sent was, which is worth one attempt. */
  async #doubt(error: Error): Promise<void> {
    const { digest } = this.#descriptor;
    const hash = createHash('sha256');
    for await (const chunk of createReadStream(this.#path)) hash.update(chunk as Buffer);
    if (finishDigest(hash) !== digest)
      throw new Error(`blob ${digest} of the store is damaged: its content is another`);
    if (this.#isDoubted) throw error;
    this.#isDoubted = true;
    this.#location = undefined;
  }

  #refusal(response: HttpResponse): Promise<Error> {
    return this.#registry.refusal(response, `blob ${this.#descriptor.digest}`);
  }

  /** Finds out how much the registry has of an upload that broke; one that cannot be gone on with begins anew. */
  async #ask(): Promise<void> {
    const location = this.#location;
    this.#location = undefined;
    if (location === undefined) return;
    try {
      const response = await this.#step({ method: 'GET', url: location });
      await response.body.dump();
      const has = endOf(response);
      if (response.status !== 204 || has === undefined || has > this.#descriptor.size) return;
      this.#offset = has;
      this.#furthest = Math.max(this.#furthest, has);
      this.#location = response.headers['location'] === undefined ? location : this.#registry.uploadLocation(response);
    } catch (error) {
      if (!(error instanceof StepError)) throw error;
    }
  }

  async #step(asked: HttpRequest): Promise<HttpResponse> {
    const { signal } = this.#options;
    try {
      return await this.#registry.uploadStep({ ...asked, signal });
    } catch (error) {
      signal.throwIfAborted();
      const failure = describeFailure(asked, error);
      throw isPassing(error) ? new StepError(failure.message, { cause: error }) : failure;
    }
  }

  #body(start: number, end: number): Required<Pick<HttpRequest, 'headers' | 'body'>> {
    const headers = { 'content-type': 'application/octet-stream', 'content-length': String(end - start) };
    return { headers, body: end > start ? () => this.#read(start, end) : '' };
  }

  async *#read(start: number, end: number): AsyncGenerator<Uint8Array> {
    const file = await open(this.#path);
    // Used in turn: a new one for each chunk would be garbage of twice the memory that a push may take.
    const buffers = Array.from({ length: BUFFERS }, () => Buffer.allocUnsafeSlow(READ));
    try {
      for (let at = start, turn = 0; at < end; turn++) {
        const chunk = buffers[turn % BUFFERS] ?? Buffer.alloc(0);
        const { bytesRead } = await file.read(chunk, 0, Math.min(READ, end - at), at);
        if (bytesRead === 0) throw new Error(`${this.#path} was cut`);
        at += bytesRead;
        yield chunk.subarray(0, bytesRead);
        this.#options.progress(at);
      }
    } finally {
      await file.close();
    }
  }
}

interface Failure {
  readonly error: Error;
  readonly retryAfter?: string | undefined;
}

/** A step that the network kept from its end. */
class StepError extends Error {}

/** Bytes that a `Range` header of an upload says are there: `0-499` for 500. A registry that has none says `0-0`, too. */
function endOf({ headers }: HttpResponse): number | undefined {
  const last = /^(?:bytes=)?0-(\d+)$/.exec(headers['range'] ?? '')?.[1];
  if (last === undefined) return undefined;
  return last === '0' ? 0 : Number(last) + 1;
}
