import { join } from 'node:path';
import { describeMachine } from '../report.ts';
import { rotate } from '../statistics.ts';
import { type Fixture } from './fixture.ts';
import { measureRound, type Round } from './measure.ts';
import { LocalRegistry } from './registry.ts';
import { type ImageReport } from './report.ts';
import { type Tool } from './tools.ts';

export interface ImagePlan {
  /** A directory of the benchmark's own, on the filesystem that is measured. */
  readonly scratch: string;
  readonly fixture: Fixture;
  /** lamina first. */
  readonly tools: readonly Tool[];
  readonly rounds: number;
  readonly signal?: AbortSignal;
}

/** Has every tool do the same in turns, in another order each round. */
export async function runImageBenchmark(plan: ImagePlan): Promise<ImageReport> {
  const machine = describeMachine();
  const missing: Record<string, string> = {};
  for (const tool of plan.tools) {
    const reason = await tool.missing();
    if (reason !== undefined) missing[tool.name] = reason;
  }
  const present = plan.tools.filter(({ name }) => missing[name] === undefined);
  const rounds: Record<string, Round[]> = Object.fromEntries(present.map(({ name }) => [name, []]));
  const source = await LocalRegistry.open(join(plan.scratch, 'source'));
  try {
    await source.put(plan.fixture);
    const ground = { scratch: plan.scratch, source, ...(plan.signal === undefined ? {} : { signal: plan.signal }) };
    for (let round = 0; round < plan.rounds; round++) {
      for (const tool of rotate(present, round)) {
        plan.signal?.throwIfAborted();
        rounds[tool.name]?.push(await measureRound(ground, tool));
      }
    }
  } finally {
    await source.close();
  }
  const { archiveBytes: bytes, files, blobs } = plan.fixture;
  // One of the blobs is the configuration.
  return { machine, image: { bytes, files, layers: blobs.length - 1 }, rounds, missing };
}
