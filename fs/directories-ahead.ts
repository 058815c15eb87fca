import type { DirectoriesAhead } from './overlay/look-ahead.ts';
import { DOT_OPAQUE } from './layer-format.ts';
import type { ByteString } from './sys/bytes.ts';
import { PathProbe } from './sys/path-probe.ts';

/** Threads of libuv's pool, which has four, that wait for disks. */
const AT_ONCE = 3;
/** Directories at most whose subdirectories are still to be read: those that have waited longest were listed without it. */
const MOST = 256;

interface Pending {
  readonly ahead: DirectoriesAhead;
  next: number;
}

interface Place {
  readonly root: number;
  readonly path: ByteString;
}

/** Reads directories on other threads, those first that were asked for last; what is in them does not matter. */
export class DirectoryReaders {
  #pending: Pending[] = [];
  readonly #free: PathProbe[];
  readonly #atOnce: number;

  /** @param atOnce directories that are given to the pool at once: more than it has threads where this one comes by seldom. */
  constructor(atOnce = AT_ONCE) {
    this.#atOnce = atOnce;
    this.#free = Array.from({ length: atOnce }, () => new PathProbe());
  }

  read(ahead: DirectoriesAhead): void {
    this.#pending.push({ ahead, next: 0 });
    if (this.#pending.length > MOST) this.#pending.shift();
    while (this.#begin());
  }

  /** Directories with subdirectories still to be read. */
  get left(): number {
    return this.#pending.length;
  }

  /** Whether some are being read. */
  get areBusy(): boolean {
    return this.#free.length < this.#atOnce;
  }

  /** Begins no more: descriptors of layers are being closed. */
  stop(): void {
    this.#pending = [];
  }

  /** Answers whether there was something to do, and somebody to do it. */
  #begin(): boolean {
    const place = this.#free.length > 0 ? this.#take() : undefined;
    const probe = place === undefined ? undefined : this.#free.pop();
    if (place === undefined || probe === undefined) return false;
    void probe.look(place.root, place.path).then(() => {
      this.#free.push(probe);
      this.#begin();
    });
    return true;
  }

  #take(): Place | undefined {
    const pending = this.#pending.at(-1);
    if (pending === undefined) return undefined;
    const { layers, names, places } = pending.ahead;
    const at = pending.next++;
    if (pending.next >= names.length) this.#pending.pop();
    const layer = layers[places[at] ?? 0];
    // Any name in it has the kernel read it; of this one, the union asks each directory.
    return layer === undefined
      ? this.#take()
      : { root: layer.root, path: `${layer.path}/${names[at] ?? ''}/${DOT_OPAQUE}` };
  }
}
