import { type MessagePort, parentPort } from 'node:worker_threads';

import { type Growth } from './growing-file.ts';
import { type ArchiveFacts, type LayerArchive, unpackArchive, type UnpackedArchive } from './layer-archive.ts';
import { type WarningEntry } from './warnings.ts';

/** To the thread: a layer, and the port on which the two talk of it. */
export interface UnpackRequest {
  readonly archive: LayerArchive;
  readonly port: MessagePort;
}

/** To the thread: how far the file has come, layers below that are finished, or why there is to be an end of it. */
export type ToUnpacker =
  { readonly grown: number } | { readonly lowers: readonly string[] } | { readonly failure: string };

/** From the thread. */
export type FromUnpacker =
  /** It has read so much, and wants more. */
  | { readonly wants: number }
  | { readonly facts: ArchiveFacts }
  | { readonly warnings: readonly WarningEntry[]; readonly index: Uint8Array | undefined }
  | { readonly failure: string };

/** One layer, from its archive to the end. Whoever asked for it closes the port. */
class Conversation {
  readonly #port: MessagePort;
  readonly #end = new AbortController();
  #waiting: { readonly resolve: (bytes: number) => void; readonly reject: (error: Error) => void } | undefined;
  #unpacked: UnpackedArchive | undefined;

  constructor({ archive, port }: UnpackRequest) {
    this.#port = port;
    port.on('message', (message: ToUnpacker) => this.#take(message));
    this.#try(async () => {
      this.#unpacked = await unpackArchive(archive, this.#growth, this.#end.signal);
      const { diffId, archiveSize, size, retained } = this.#unpacked;
      this.#say({ facts: { diffId, archiveSize, size, retained } });
    });
  }

  readonly #growth: Growth = (at) => {
    this.#end.signal.throwIfAborted();
    this.#say({ wants: at });
    return new Promise((resolve, reject) => (this.#waiting = { resolve, reject }));
  };

  #say(message: FromUnpacker, transferred: readonly ArrayBufferLike[] = []): void {
    this.#port.postMessage(message, transferred as ArrayBuffer[]);
  }

  #take(message: ToUnpacker): void {
    if ('grown' in message) this.#waiting?.resolve(message.grown);
    else if ('failure' in message) this.#fail(new Error(message.failure));
    else this.#try(() => this.#finish(message.lowers));
  }

  #fail(error: Error): void {
    this.#end.abort(error);
    this.#waiting?.reject(error);
  }

  async #finish(lowers: readonly string[]): Promise<void> {
    const finished = await this.#unpacked?.finish(lowers);
    const index = finished?.index;
    this.#say({ warnings: finished?.warnings.entries() ?? [], index }, index === undefined ? [] : [index.buffer]);
  }

  #try(work: () => Promise<void>): void {
    work().catch((error: unknown) => {
      this.#say({ failure: error instanceof Error ? error.message : String(error) });
    });
  }
}

parentPort?.on('message', (request: UnpackRequest | 'end') => {
  if (request === 'end') parentPort?.close();
  else new Conversation(request);
});
// All that it needs is loaded.
parentPort?.postMessage('ready');
