import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { keepYoungSpaceSmall } from '../../fs/sys/young-space.ts';

/** Bytes of buffers that have served before a young collection, which takes a fraction of a millisecond. */
const YOUNG = 1 << 20;
/** Bytes of buffers that are left by then before a full one: the dead of the old generation keep young ones alive. */
const OLD = 4 << 20;

type Collect = (options?: { readonly type: 'minor' }) => void;

/**
 * Collects the buffers of streams once they are some megabytes. V8 knows their objects alone, which are small: it lets
 * them come to 32 MiB in every thread, and twice that of the old generation.
 */
class BufferGarbage {
  #bytes = 0;
  #collect: Collect | undefined;

  add(bytes: number): void {
    this.#bytes += bytes;
    if (this.#bytes < YOUNG) return;
    this.#bytes = 0;
    this.#collect ??= findCollector();
    this.#collect({ type: 'minor' });
    if (process.memoryUsage().arrayBuffers > OLD) this.#collect();
  }
}

function findCollector(): Collect {
  keepYoungSpaceSmall();
  setFlagsFromString('--expose-gc');
  try {
    return runInNewContext('gc') as Collect;
  } catch {
    // No such thing in this engine: it needs more memory, and does the same.
    return () => undefined;
  }
}

const garbage = new BufferGarbage();

/** Notes bytes of a stream that have been dealt with, and whose buffers nobody needs any more. */
export function discardBuffer(bytes: number): void {
  garbage.add(bytes);
}
