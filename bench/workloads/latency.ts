import { lstatSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { quantile } from '../statistics.ts';
import { type Reading, type Site } from '../workload.ts';

const IDLE_SAMPLES = 500;
const PAUSE_MILLISECONDS = 1;

/** Times one lstat after the other, each of a name that was not asked for before: the kernel must ask the union. */
class Stopwatch {
  readonly #directory: string;
  #asked = 0;

  constructor(directory: string) {
    this.#directory = directory;
  }

  #sample(): number {
    const path = join(this.#directory, `not-there-${this.#asked++}`);
    const start = process.hrtime.bigint();
    lstatSync(path, { throwIfNoEntry: false });
    return Number(process.hrtime.bigint() - start) / 1e9;
  }

  /** Samples until `isDone`, and one at least. */
  async until(isDone: (samples: number) => boolean): Promise<number[]> {
    const samples: number[] = [];
    do {
      samples.push(this.#sample());
      await sleep(PAUSE_MILLISECONDS);
    } while (!isDone(samples.length));
    return samples;
  }
}

/** The latency of stat in `directory` while `work` is done: the 99th percentile, against that of an idle mount. */
export async function latencyDuring(site: Site, directory: string, work: () => Promise<void>): Promise<Reading> {
  const stopwatch = new Stopwatch(join(site.root, directory));
  const idle = await stopwatch.until((count) => count >= IDLE_SAMPLES);
  let done = false;
  const start = process.hrtime.bigint();
  const working = work().finally(() => (done = true));
  const [busy] = await Promise.all([stopwatch.until(() => done), working]);
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  return {
    value: quantile(busy, 0.99),
    details: {
      p50: quantile(busy, 0.5),
      longest: Math.max(...busy),
      'idle p50': quantile(idle, 0.5),
      'idle p99': quantile(idle, 0.99),
      'copy-up': seconds,
    },
  };
}
