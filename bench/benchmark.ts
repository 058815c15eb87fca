import { randomInt } from 'node:crypto';
import { type Contender } from './contenders/contender.ts';
import { type Counter, type Counts } from './count.ts';
import { type Ground } from './ground.ts';
import { type Measurement, measureOnce, measureProgram } from './measure.ts';
import { rotate } from './statistics.ts';
import { type Point, type Unit, type Workload } from './workload.ts';

/** What one workload gave: each contender's measurements by round, or why there are none. */
export interface WorkloadResult {
  readonly name: string;
  readonly description: string;
  readonly unit: Unit;
  readonly point?: Point;
  /** Programs of its own were measured, and not the contenders. */
  readonly hasPrograms: boolean;
  readonly measurements: Readonly<Record<string, readonly Measurement[]>>;
  /** Contenders that failed, and why. */
  readonly failures: Readonly<Record<string, string>>;
  /** Programs that this machine lacks, and why. */
  readonly missing: Readonly<Record<string, string>>;
  /** Why nothing of it was measured. */
  readonly skipped?: string;
  readonly counts: Readonly<Record<string, Counts>>;
}

/** What a benchmark measures. */
export interface Plan {
  readonly contenders: readonly Contender[];
  readonly workloads: readonly Workload[];
  readonly rounds: number;
  /** Given where requests and system calls are to be counted, too. */
  readonly counter?: Counter;
}

/** Told of each measurement before it begins. */
export type Progress = (workload: string, contender: string, round: string) => void;

/** Who is measured, whichever way. */
interface Participant {
  readonly name: string;
  measure(): Promise<Measurement>;
}

function taking(workload: Workload, contenders: readonly Contender[]): readonly Contender[] {
  if (workload.programs !== undefined) return [];
  return contenders.filter(
    ({ command, hasDaemon }) =>
      (workload.mountsItself !== true || command !== undefined) && (workload.needsDaemon !== true || hasDaemon),
  );
}

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** One workload's way through the rounds. */
class WorkloadRun {
  readonly #ground: Ground;
  readonly #plan: Plan;
  readonly #workload: Workload;
  readonly #progress: Progress;
  readonly #measurements: Record<string, Measurement[]> = {};
  readonly #failures: Record<string, string> = {};
  readonly #missing: Record<string, string> = {};
  readonly #counts: Record<string, Counts> = {};

  constructor(ground: Ground, plan: Plan, workload: Workload, progress: Progress) {
    this.#ground = ground;
    this.#plan = plan;
    this.#workload = workload;
    this.#progress = progress;
  }

  async run(): Promise<WorkloadResult> {
    const skipped = await this.#skipped();
    if (skipped !== undefined) return this.#result(skipped);
    const present = await this.#participants();
    // Whoever comes first pays for what is cold for all, which must not be the same one in all workloads.
    const participants = rotate(present, randomInt(Math.max(1, present.length)));
    for (let round = 0; round < this.#plan.rounds; round++) {
      for (const participant of rotate(participants, round)) {
        await this.#try(participant.name, `round ${round + 1}`, async () => {
          (this.#measurements[participant.name] ??= []).push(await participant.measure());
        });
      }
    }
    await this.#count();
    return this.#result();
  }

  async #skipped(): Promise<string | undefined> {
    const { cold, missing } = this.#workload;
    if (cold === true && this.#ground.rootless === true) return 'an ordinary user cannot drop caches';
    return missing?.(this.#ground);
  }

  async #participants(): Promise<Participant[]> {
    const ground = this.#ground;
    const present: Participant[] = taking(this.#workload, this.#plan.contenders).map((contender) => ({
      name: contender.name,
      measure: () => measureOnce(ground, contender, this.#workload),
    }));
    for (const program of this.#workload.programs ?? []) {
      const reason = await program.missing();
      if (reason !== undefined) this.#missing[program.name] = reason;
      else present.push({ name: program.name, measure: () => measureProgram(ground, program) });
    }
    return present;
  }

  /** One that fails takes no further part. */
  async #try(name: string, round: string, work: () => Promise<void>): Promise<void> {
    if (name in this.#failures) return;
    this.#progress(this.#workload.name, name, round);
    try {
      await work();
    } catch (error) {
      this.#ground.signal?.throwIfAborted();
      this.#failures[name] = messageOf(error);
    }
  }

  async #count(): Promise<void> {
    const { counter } = this.#plan;
    if (counter === undefined || this.#workload.mountsItself === true) return;
    for (const contender of taking(this.#workload, this.#plan.contenders)) {
      if (!contender.hasDaemon) continue;
      await this.#try(contender.name, 'counting', async () => {
        this.#counts[contender.name] = await counter.count(contender, this.#workload);
      });
    }
  }

  #result(skipped?: string): WorkloadResult {
    const { name, description, unit = 'seconds', point, programs } = this.#workload;
    // A row of fewer rounds would not pair with the others.
    const whole = Object.entries(this.#measurements).filter(([, taken]) => taken.length === this.#plan.rounds);
    return {
      ...{ name, description, unit, hasPrograms: programs !== undefined },
      ...(point !== undefined && { point }),
      ...(skipped !== undefined && { skipped }),
      measurements: Object.fromEntries(whole),
      failures: this.#failures,
      missing: this.#missing,
      counts: this.#counts,
    };
  }
}

/** Runs every workload of the plan, one after the other. Once the ground's signal fires, returns those that are complete. */
export async function runBenchmark(ground: Ground, plan: Plan, progress: Progress): Promise<WorkloadResult[]> {
  const results: WorkloadResult[] = [];
  try {
    for (const workload of plan.workloads) {
      results.push(await new WorkloadRun(ground, plan, workload, progress).run());
    }
  } catch (error) {
    if (ground.signal?.aborted !== true) throw error;
  }
  return results;
}
