import { once } from 'node:events';
import { MessageChannel, type MessagePort, Worker } from 'node:worker_threads';

import { type Growth } from './growing-file.ts';
import { type ArchiveFacts, type FinishedLayer, type LayerArchive, type UnpackedArchive } from './layer-archive.ts';
import { type FromUnpacker, type ToUnpacker, type UnpackRequest } from './unpack-worker.ts';
import { Warnings } from './warnings.ts';

// The compiled file: a worker cannot run TypeScript on every Node that we support.
const WORKER = new URL('./unpack-worker.js', import.meta.url);

/** A thread that unpacks layers as `unpackArchive` does. */
export class UnpackThread {
  readonly #worker: Worker;

  private constructor(worker: Worker) {
    this.#worker = worker;
  }

  /**
   * Undefined where no thread can be had.
   *
   * @param program the compiled thread.
   */
  static async start(program: URL = WORKER): Promise<UnpackThread | undefined> {
    try {
      const worker = new Worker(program);
      // It says that it is ready; an error comes before that, or while it unpacks, where its ports tell.
      await once(worker, 'message');
      worker.on('error', () => undefined);
      return new UnpackThread(worker);
    } catch {
      return undefined;
    }
  }

  /** Lets it end once it has nothing more to do. */
  end(): void {
    this.#worker.postMessage('end');
  }

  async unpack(archive: LayerArchive, growth: Growth, signal: AbortSignal): Promise<UnpackedArchive> {
    const { port1, port2 } = new MessageChannel();
    const request: UnpackRequest = { archive, port: port2 };
    this.#worker.postMessage(request, [port2]);
    const conversation = new Conversation(port1, growth, signal);
    const facts = await conversation.facts();
    return { ...facts, finish: (lowers) => conversation.finish(lowers) };
  }
}

/** The other side of the one in the thread. */
class Conversation {
  readonly #port: MessagePort;
  readonly #growth: Growth;
  readonly #signal: AbortSignal;
  #isClosed = false;
  #settle: { readonly resolve: (message: FromUnpacker) => void; readonly reject: (error: Error) => void } | undefined;

  constructor(port: MessagePort, growth: Growth, signal: AbortSignal) {
    this.#port = port;
    this.#growth = growth;
    this.#signal = signal;
    port.on('message', (message: FromUnpacker) => this.#take(message));
    port.on('close', () => {
      this.#isClosed = true;
      this.#settle?.reject(ended());
    });
    signal.addEventListener('abort', this.#abort, { once: true });
  }

  readonly #abort = (): void => {
    // Unpacked, and not to be finished any more; else the thread says when it has come to an end of it.
    if (this.#settle === undefined) this.#close();
    else this.#fail(this.#signal.reason);
  };

  #say(message: ToUnpacker): void {
    this.#port.postMessage(message);
  }

  #fail(error: unknown): void {
    this.#say({ failure: error instanceof Error ? error.message : String(error) });
  }

  #take(message: FromUnpacker): void {
    if ('wants' in message) {
      this.#growth(message.wants).then(
        (grown) => this.#say({ grown }),
        (error: unknown) => this.#fail(error),
      );
    } else {
      const settle = this.#settle;
      this.#settle = undefined;
      if ('failure' in message) {
        this.#close();
        settle?.reject(new Error(message.failure));
      } else settle?.resolve(message);
    }
  }

  #close(): void {
    this.#signal.removeEventListener('abort', this.#abort);
    this.#port.close();
  }

  #answer(): Promise<FromUnpacker> {
    if (this.#isClosed) return Promise.reject(ended());
    return new Promise((resolve, reject) => (this.#settle = { resolve, reject }));
  }

  async facts(): Promise<ArchiveFacts> {
    const answer = await this.#answer();
    if ('facts' in answer) return answer.facts;
    throw new Error('the thread that unpacks gave another answer than was asked for');
  }

  async finish(lowers: readonly string[]): Promise<FinishedLayer> {
    this.#say({ lowers });
    const answer = await this.#answer();
    this.#close();
    const warnings = new Warnings();
    if (!('warnings' in answer)) return { warnings, index: undefined };
    warnings.addAll(answer.warnings);
    return { warnings, index: answer.index };
  }
}

function ended(): Error {
  return new Error('the thread that unpacked it came to an end');
}
