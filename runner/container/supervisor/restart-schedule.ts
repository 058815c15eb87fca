import { type RestartPolicy } from '../options/lifecycle.ts';

// Docker's: 100 ms, doubled up to a minute, and anew after a run of 10 s.
const FIRST_MILLISECONDS = 100;
const LONGEST_MILLISECONDS = 60_000;
const GOOD_RUN_MILLISECONDS = 10_000;

/** When a container is started again by its restart policy. */
export class RestartSchedule {
  readonly #policy: () => RestartPolicy;
  #pause = 0;
  /** How often it has been. */
  count = 0;

  /** @param policy tells the policy as it is now: `lamina update` changes it. */
  constructor(policy: () => RestartPolicy) {
    this.#policy = policy;
  }

  /**
   * Milliseconds until the next start after a run that has ended by itself; undefined where there is none.
   *
   * @param ran for how many milliseconds.
   */
  next(exitCode: number, ran: number): number | undefined {
    const { name, maximumRetries } = this.#policy();
    if (name === 'no' || (name === 'on-failure' && exitCode === 0)) return undefined;
    if (name === 'on-failure' && maximumRetries > 0 && this.count >= maximumRetries) return undefined;
    const isFresh = this.#pause === 0 || ran >= GOOD_RUN_MILLISECONDS;
    this.#pause = isFresh ? FIRST_MILLISECONDS : Math.min(this.#pause * 2, LONGEST_MILLISECONDS);
    this.count += 1;
    return this.#pause;
  }
}
