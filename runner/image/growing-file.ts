import { closeSync, openSync, readSync } from 'node:fs';

import { discardBuffer } from './buffer-garbage.ts';

const CHUNK = 1 << 16;

/**
 * Tells how many bytes a file has by now, once they are more than `at`; `at`, where it ends there. Rejects where what is
 * in the file turns out to be wrong, or no more will come.
 */
export type Growth = (at: number) => Promise<number>;

/** The bytes of a file that may still be on its way, as they come. */
export async function* readGrowing(path: string, growth: Growth): AsyncGenerator<Uint8Array> {
  const fd = openSync(path, 'r');
  try {
    for (let at = 0, end = 0; ;) {
      if (at === end) end = await growth(at);
      if (at === end) return;
      const chunk = Buffer.allocUnsafeSlow(Math.min(CHUNK, end - at));
      const length = readSync(fd, chunk, 0, chunk.length, at);
      if (length === 0) throw new Error(`${path} was cut`);
      at += length;
      yield chunk.subarray(0, length);
      discardBuffer(length);
    }
  } finally {
    closeSync(fd);
  }
}
