import { join } from 'node:path';
import { hasProgram } from './command.ts';
import { type Contender, type Mounted, type Requests } from './contenders/contender.ts';
import { type Ground } from './ground.ts';
import { difference, whenReady } from './measure.ts';
import { RequestTrace } from './request-trace.ts';
import { type SystemCalls, systemCallsDuring } from './system-calls.ts';
import { type Site, type Workload } from './workload.ts';

/** What one run of a workload asked of a daemon, and what that asked of the kernel. */
export interface Counts {
  /** How many operations the workload is made of, where that says something. */
  readonly operations?: number;
  /** FUSE requests by opcode; absent where neither the kernel nor the daemon counts them. */
  readonly requests?: Requests;
  /** The daemon's system calls by name; absent without strace. */
  readonly systemCalls?: SystemCalls;
}

/** Counts, one workload on one contender a time, in runs of their own that are not timed. */
export class Counter {
  readonly #ground: Ground;
  readonly #trace: RequestTrace | undefined;
  readonly #hasStrace: boolean;
  /** What cannot be counted here, and why. */
  readonly missing: Readonly<Record<string, string>>;

  private constructor(ground: Ground, trace: RequestTrace | undefined, hasStrace: boolean) {
    this.#ground = ground;
    this.#trace = trace;
    this.#hasStrace = hasStrace;
    this.missing = {
      ...(trace === undefined && {
        'requests to others than lamina': 'the kernel does not trace fuse:fuse_request_send',
      }),
      ...(!hasStrace && { 'system calls': 'apt-get install strace' }),
    };
  }

  static async open(ground: Ground): Promise<Counter> {
    const trace = await RequestTrace.open(join(ground.scratch, 'tracing'));
    return new Counter(ground, trace, await hasProgram('strace'));
  }

  async close(): Promise<void> {
    await this.#trace?.close();
  }

  /** One run, not timed. */
  count(contender: Contender, workload: Workload): Promise<Counts> {
    return whenReady(this.#ground, contender, workload, async (mounted, site) => {
      let systemCalls: SystemCalls | undefined;
      const requests = await this.#requests(mounted, site, async () => {
        systemCalls = await this.#systemCalls(mounted, site, () => workload.measure(site));
      });
      const { operations } = workload;
      return {
        ...(operations !== undefined && {
          operations: typeof operations === 'number' ? operations : await operations(site),
        }),
        ...(requests !== undefined && { requests }),
        ...(systemCalls !== undefined && { systemCalls }),
      };
    });
  }

  async #systemCalls(mounted: Mounted, site: Site, work: () => Promise<unknown>): Promise<SystemCalls | undefined> {
    const { pid } = mounted;
    if (this.#hasStrace && pid !== undefined) return systemCallsDuring(pid, join(site.spare, 'strace'), work);
    await work();
    return undefined;
  }

  async #requests(mounted: Mounted, site: Site, work: () => Promise<void>): Promise<Requests | undefined> {
    if (this.#trace !== undefined) return this.#trace.during(site.root, work);
    const before = await mounted.requests?.();
    await work();
    const after = await mounted.requests?.();
    return before === undefined || after === undefined ? undefined : difference(before, after);
  }
}
