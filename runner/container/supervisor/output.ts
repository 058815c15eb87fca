import { type JsonLog, type StreamName } from '../logs/json-log.ts';

/** Somebody who reads what a container writes. */
export interface OutputReader {
  /** Takes a piece; where it is behind, answers when it can take more. A reader that is gone takes what it is given. */
  write(stream: StreamName, chunk: Buffer): Promise<void> | undefined;
}

/** Hands what a container writes to its log and to all who read it: it is in the log before anybody sees it. */
export class Output {
  readonly #readers = new Set<OutputReader>();
  #log: JsonLog | undefined;

  /** @param log ours from here on; to be given before the container writes. */
  keep(log: JsonLog): void {
    this.#log = log;
  }

  add(reader: OutputReader): void {
    this.#readers.add(reader);
  }

  remove(reader: OutputReader): void {
    this.#readers.delete(reader);
  }

  /** Hands over all of a pipe, at the pace of the slowest reader. */
  async pump(pipe: AsyncIterable<Buffer>, stream: StreamName): Promise<void> {
    try {
      for await (const chunk of pipe) await this.#write(stream, chunk);
    } catch {
      // It has been closed, since there is nobody to read it.
    } finally {
      this.#log?.end(stream);
    }
  }

  /** To be called when no stream is under way any more. */
  close(): void {
    this.#log?.close();
    this.#log = undefined;
  }

  async #write(stream: StreamName, chunk: Buffer): Promise<void> {
    this.#log?.write(stream, chunk);
    const behind = [...this.#readers].flatMap((reader) => reader.write(stream, chunk) ?? []);
    if (behind.length > 0) await Promise.all(behind);
  }
}
