import { createHash } from 'node:crypto';
import { closeSync, ftruncateSync, openSync, writeSync } from 'node:fs';
import { discardBuffer } from '../buffer-garbage.ts';
import { type ByteSource } from '../compression.ts';
import { finishDigest } from '../digest.ts';
import { type Growth } from '../growing-file.ts';
import { type Descriptor, isForeign } from '../manifest.ts';
import { type SpooledFile } from '../spool.ts';
import { type Limiter } from './limiter.ts';
import { type Repository, WrongBytes } from './repository.ts';
import { type HttpResponse } from './transport.ts';

/** Attempts in a row that bring nothing. */
const ATTEMPTS = 5;
/** How often a blob is fetched from its beginning where other bytes come than those that its digest is of. */
const ROUNDS = 3;
/** So much of a blob is waited for to tell whether it was to blame for what did not work with it. */
const WORTH_WAITING = 1 << 28;
/** Bytes that are to come within the registry's patience: what is slower keeps us, and never ends. */
const SLOWEST = 1 << 14;

/**
 * A blob on its way from a registry to a file. It can be read as it comes; what is read is to be believed once `done` is
 * settled, which checks size and digest. Where they are wrong, it comes anew, and whoever has read of it must, too.
 */
export class BlobDownload {
  readonly done: Promise<SpooledFile>;
  readonly #registry: Repository;
  readonly #descriptor: Descriptor;
  readonly path: string;
  #hash = createHash('sha256');
  readonly #progress: (bytes: number) => void;
  readonly #fd: number;
  readonly #end = new AbortController();
  #written = 0;
  #round = 1;
  /** Of the last reading that has not come to the end. */
  #roundRead: number | undefined;
  #isSettled = false;
  /** Those who wait for more: an image may have a layer twice. */
  #waiting: (() => void)[] = [];

  /** @param limiter says when it is to begin. */
  constructor(
    registry: Repository,
    descriptor: Descriptor,
    path: string,
    limiter: Limiter,
    progress: (bytes: number) => void,
  ) {
    this.#registry = registry;
    this.#descriptor = descriptor;
    this.path = path;
    this.#progress = progress;
    this.#fd = openSync(path, 'wx', 0o600);
    const download = limiter.run(() => this.#download());
    this.done = download.finally(() => {
      closeSync(this.#fd);
      this.#isSettled = true;
      this.#wake();
    });
    // Whoever reads or waits hears of it; nobody need.
    this.done.catch(() => undefined);
  }

  /** Gives it up: whoever reads it gets an error. */
  cancel(): void {
    this.#end.abort();
  }

  /** Begins to read its file, as it comes. */
  read(): Growth {
    const round = this.#round;
    this.#roundRead = round;
    return async (at) => {
      while (at === this.#written && !this.#isSettled && round === this.#round) {
        await new Promise<void>((resolve) => this.#waiting.push(resolve));
      }
      if (round !== this.#round) throw new Error(`blob ${this.#descriptor.digest} was wrong, and comes anew`);
      if (at === this.#written) {
        await this.done;
        this.#roundRead = undefined;
      }
      return this.#written;
    };
  }

  /** What was read of it last is to blame for nothing. */
  abandon(): void {
    this.#roundRead = undefined;
  }

  #wake(): void {
    for (const wake of this.#waiting.splice(0)) wake();
  }

  /**
   * Whether who read of it last was given wrong bytes, and the right ones are there now.
   *
   * @throws where none but wrong ones are to be had.
   */
  async wasReplaced(): Promise<boolean> {
    if (this.#roundRead === undefined || this.#descriptor.size - this.#written > WORTH_WAITING) return false;
    try {
      await this.done;
    } catch (error) {
      if (error instanceof WrongBytes) throw error;
      return false;
    }
    return this.#round !== this.#roundRead;
  }

  async #download(): Promise<SpooledFile> {
    for (;;) {
      try {
        return await this.#downloadRound();
      } catch (error) {
        if (!(error instanceof WrongBytes) || this.#round === ROUNDS || this.#end.signal.aborted) throw error;
        this.#registry.distrust(error);
        await this.#registry.wait(this.#round);
        this.#beginAnew();
      }
    }
  }

  #beginAnew(): void {
    ftruncateSync(this.#fd, 0);
    this.#hash = createHash('sha256');
    this.#written = 0;
    this.#round += 1;
    this.#progress(0);
    this.#wake();
  }

  async #downloadRound(): Promise<SpooledFile> {
    const { digest, size } = this.#descriptor;
    for (let idle = 0; this.#written < size;) {
      const before = this.#written;
      const { failure, isSlow = false } = await this.#attempt();
      if (this.#end.signal.aborted) throw this.#cannot('it was given up');
      if (this.#written >= size) break;
      idle = this.#written > before && !isSlow ? 0 : idle + 1;
      if (idle === ATTEMPTS) throw this.#cannot(failure ?? 'the registry sends no more');
      await this.#registry.wait(Math.max(idle, 1));
    }
    const found = finishDigest(this.#hash);
    if (found !== digest) throw new WrongBytes(`blob ${digest} has another content: its digest is ${found}`);
    return { path: this.path, size, digest };
  }

  /** Takes what comes, from where the last attempt ended. Answers why it came to an end, where that was a failure. */
  async #attempt(): Promise<Attempt> {
    const { digest, size } = this.#descriptor;
    if (this.#end.signal.aborted) return {};
    const response = await this.#open();
    // A registry without ranges begins anew.
    let skipped = response.status === 206 ? this.#checkRange(response.headers['content-range']) : this.#written;
    const destroy = (): void => void response.body.destroy();
    this.#end.signal.addEventListener('abort', destroy);
    const pace = this.#watchPace(response);
    try {
      for await (const part of response.body as ByteSource) {
        const chunk = part.subarray(Math.min(skipped, part.length));
        skipped -= part.length - chunk.length;
        pace.bytes += part.length;
        if (this.#written + chunk.length > size) {
          response.body.destroy();
          throw new WrongBytes(`blob ${digest} is longer than the ${size} bytes that its manifest says`);
        }
        this.#take(chunk);
      }
      return {};
    } catch (error) {
      if (error instanceof WrongBytes) throw error;
      return { failure: error instanceof Error ? error.message : String(error), isSlow: pace.isSlow };
    } finally {
      clearInterval(pace.timer);
      this.#end.signal.removeEventListener('abort', destroy);
    }
  }

  /** Ends an answer that comes in drops. */
  #watchPace({ body, patience }: HttpResponse): Pace {
    let last = performance.now();
    const check = (): void => {
      const passed = performance.now() - last;
      last += passed;
      const { bytes } = pace;
      pace.bytes = 0;
      // Late, it is we who were busy, and what came meanwhile waits to be read.
      pace.isSlow = bytes < SLOWEST && passed < 1.5 * patience;
      if (pace.isSlow) body.destroy(new Error(`it comes too slowly: ${bytes} bytes in ${patience / 1000} s`));
    };
    const pace: Pace = { bytes: 0, isSlow: false, timer: setInterval(check, patience) };
    return pace;
  }

  /** A foreign blob comes from where its descriptor says, in case the registry does not have it. */
  async #open(): Promise<HttpResponse> {
    const { digest } = this.#descriptor;
    const urls = isForeign(this.#descriptor) ? this.#descriptor.urls : [];
    const failures: unknown[] = [];
    for (const open of [
      () => this.#registry.blob(digest, this.#written),
      ...urls.map((url) => () => this.#registry.foreignBlob(url, this.#written)),
    ]) {
      try {
        return await open();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length === 1) throw failures[0];
    const reasons = failures.map((error) => (error instanceof Error ? error.message : String(error)));
    throw new Error(`foreign blob ${digest} is not to be had: ${reasons.join('; ')}`, { cause: failures[0] });
  }

  #checkRange(range: string | undefined): number {
    const start = /^bytes (\d+)-/.exec(range ?? '')?.[1];
    if (Number(start) !== this.#written) throw this.#cannot(`the registry sends bytes from ${start ?? 'nowhere'} on`);
    return 0;
  }

  #take(chunk: Uint8Array): void {
    for (let at = 0; at < chunk.length;) at += writeSync(this.#fd, chunk, at, undefined, this.#written + at);
    this.#hash.update(chunk);
    this.#written += chunk.length;
    this.#progress(this.#written);
    discardBuffer(chunk.length);
    this.#wake();
  }

  #cannot(why: string): Error {
    const { digest, size } = this.#descriptor;
    return new Error(`blob ${digest} ended after ${this.#written} of ${size} bytes: ${why}`);
  }
}

interface Attempt {
  readonly failure?: string;
  readonly isSlow?: boolean;
}

interface Pace {
  /** Since the last look. */
  bytes: number;
  isSlow: boolean;
  readonly timer: NodeJS.Timeout;
}
