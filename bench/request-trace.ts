import { mkdir, rmdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { capture, run } from './command.ts';
import { type Requests } from './contenders/contender.ts';

// The kernel itself says which requests it sends to a daemon, whichever it is: trace event fuse:fuse_request_send.

// Of each processor's ring; a count of which some was lost would be wrong.
const BUFFER_KIB = 64 << 10;

/** The kernel's own device number, as the trace has it, of one that stat(2) gave. */
export function kernelDevice(device: number): number {
  const minor = (device & 0xff) | ((device >>> 12) & 0xfff00);
  return (((device >>> 8) & 0xfff) << 20) | minor;
}

/** Counts by opcode from lines such as `  42 LOOKUP`. */
export function parseCounts(text: string): Requests {
  const lines = [...text.matchAll(/^\s*(\d+) (\S+)$/gm)];
  return Object.fromEntries(lines.map(([, count, name]) => [name ?? '', Number(count)]));
}

/** A ring of one's own in which the requests of one mount are traced. */
export class RequestTrace {
  readonly #instance: string;

  private constructor(instance: string) {
    this.#instance = instance;
  }

  /** Mounts tracefs on `directory`, which is left mounted. Undefined where the kernel does not trace FUSE. */
  static async open(directory: string): Promise<RequestTrace | undefined> {
    const instance = join(directory, 'instances', `lamina-bench-${process.pid}`);
    try {
      await mkdir(directory, { recursive: true });
      await run(['mount', '-t', 'tracefs', 'tracefs', directory]);
      await mkdir(instance);
      await stat(join(instance, 'events/fuse/fuse_request_send'));
      return new RequestTrace(instance);
    } catch {
      await rmdir(instance).catch(() => undefined);
      await run(['umount', directory]).catch(() => undefined);
      return undefined;
    }
  }

  #write(file: string, text: string): Promise<void> {
    return writeFile(join(this.#instance, file), text);
  }

  /** What the kernel asks of the mount on `path` while `work` is done. Throws where there was more than the ring holds. */
  async during(path: string, work: () => Promise<unknown>): Promise<Requests> {
    const { dev } = await stat(path);
    await this.#write('buffer_size_kb', `${BUFFER_KIB}`);
    await this.#write('trace', '');
    await this.#write('events/fuse/fuse_request_send/filter', `connection == ${kernelDevice(dev)}`);
    await this.#write('events/fuse/fuse_request_send/enable', '1');
    try {
      await work();
    } finally {
      await this.#write('events/fuse/fuse_request_send/enable', '0');
    }
    return this.#count();
  }

  async #count(): Promise<Requests> {
    const lost = await capture(['sh', '-c', 'cat "$0"/per_cpu/cpu*/stats | grep "^overrun" || :', this.#instance]);
    if (/[1-9]/.test(lost)) throw new Error('more requests than the trace holds');
    const opcodes = 's/.* opcode \\([0-9]* (\\(FUSE_\\)\\{0,1\\}\\([A-Za-z0-9_]*\\))\\).*/\\3/p; ';
    const script = `sed -n '${opcodes}' "$0/trace" | sort | uniq -c`;
    const counts = parseCounts(await capture(['sh', '-c', script, this.#instance]));
    await this.#write('trace', '');
    return counts;
  }

  /** Gives the ring back. */
  async close(): Promise<void> {
    await rmdir(this.#instance);
    await run(['umount', join(this.#instance, '../..')]);
  }
}
