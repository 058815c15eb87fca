import { watch } from 'node:fs';
import { type Container } from '../container.ts';
import { ask } from '../supervisor/control-client.ts';
import { type LogEntry } from './json-log.ts';
import { LogReader, type LogWindow } from './log-reader.ts';

/** The entries of a container's log, and, where asked to follow it, those that come as long as the container lives. */
export async function* logEntries(container: Container, window: LogWindow, follows: boolean): AsyncGenerator<LogEntry> {
  const end = follows ? untilEnd(container) : undefined;
  // Before the log is read: what is written after that is told of.
  const changes = follows ? new Changes(container.directory) : undefined;
  const reader = new LogReader(container.log, window);
  try {
    yield* reader.read();
    if (end === undefined || changes === undefined) return;
    for (let isOver = false; !isOver;) {
      isOver = await Promise.race([end, changes.next()]);
      yield* reader.read();
    }
  } finally {
    reader.close();
    changes?.close();
  }
}

/** Resolves with true when the container's supervisor has ended, or said that all is over. */
async function untilEnd(container: Container): Promise<true> {
  await ask(container, { do: 'wait', until: 'end' }).catch(() => undefined);
  return true;
}

const POLL_MILLISECONDS = 100;

/** What happens in a directory, one answer for all that happened since the last. */
class Changes {
  readonly #stop: () => void;
  #isDirty = false;
  #wake: () => void = () => undefined;

  constructor(directory: string) {
    try {
      const watcher = watch(directory, () => this.#change());
      watcher.on('error', () => undefined);
      this.#stop = () => watcher.close();
    } catch {
      // The user has no more inotify(7) instances, or the directory has just been removed.
      const timer = setInterval(() => this.#change(), POLL_MILLISECONDS);
      this.#stop = () => clearInterval(timer);
    }
  }

  #change(): void {
    this.#isDirty = true;
    this.#wake();
  }

  /** Resolves with false. */
  async next(): Promise<false> {
    if (!this.#isDirty) await new Promise<void>((resolve) => (this.#wake = resolve));
    this.#isDirty = false;
    return false;
  }

  close(): void {
    this.#stop();
  }
}
