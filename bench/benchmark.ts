import { type Contender } from './contenders.ts';
import { type Ground, type Measurement, measureOnce } from './measure.ts';
import { rotate } from './statistics.ts';
import { type Workload } from './workload.ts';

/** What one workload gave: each contender's measurements by round, or why there are none. */
export interface WorkloadResult {
  readonly name: string;
  readonly description: string;
  readonly measurements: Readonly<Record<string, readonly Measurement[]>>;
  /** Contenders that failed, and why. */
  readonly failures: Readonly<Record<string, string>>;
}

/** What a benchmark measures. */
export interface Plan {
  readonly contenders: readonly Contender[];
  readonly workloads: readonly Workload[];
  readonly rounds: number;
}

/** Told of each measurement before it begins. */
export type Progress = (workload: Workload, contender: Contender, round: number) => void;

function taking(workload: Workload, contenders: readonly Contender[]): Contender[] {
  return contenders.filter((contender) => workload.mountsItself !== true || contender.command !== undefined);
}

/** All rounds of one workload: in each, every contender once, in an order that turns. One that fails takes no further part. */
async function runWorkload(
  ground: Ground,
  plan: Plan,
  workload: Workload,
  progress: Progress,
): Promise<WorkloadResult> {
  const measurements: Record<string, Measurement[]> = {};
  const failures: Record<string, string> = {};
  const contenders = taking(workload, plan.contenders);
  for (let round = 0; round < plan.rounds; round++) {
    for (const contender of rotate(contenders, round)) {
      if (contender.name in failures) continue;
      progress(workload, contender, round);
      try {
        (measurements[contender.name] ??= []).push(await measureOnce(ground, contender, workload));
      } catch (error) {
        ground.signal?.throwIfAborted();
        failures[contender.name] = error instanceof Error ? error.message : String(error);
      }
    }
  }
  // A row of fewer rounds would not pair with the others.
  const whole = Object.entries(measurements).filter(([name]) => !(name in failures));
  return { name: workload.name, description: workload.description, measurements: Object.fromEntries(whole), failures };
}

/** Runs every workload of the plan, one after the other. Once the ground's signal fires, returns those that are complete. */
export async function runBenchmark(ground: Ground, plan: Plan, progress: Progress): Promise<WorkloadResult[]> {
  const results: WorkloadResult[] = [];
  try {
    for (const workload of plan.workloads) results.push(await runWorkload(ground, plan, workload, progress));
  } catch (error) {
    if (ground.signal?.aborted !== true) throw error;
  }
  return results;
}
