import { Repairer } from '../../runner/image/check/repairer.ts';
import { type Problem, StoreCheck } from '../../runner/image/check/store-check.ts';
import { Registry } from '../../runner/image/registry/registry.ts';
import { type Store } from '../../runner/image/store.ts';

interface Options {
  readonly quick?: boolean;
  readonly repair?: boolean;
  readonly runsOn?: string;
}

/** All that a check finds in a store. */
export async function check(store: Store, { quick = false, repair = false, runsOn }: Options = {}): Promise<Problem[]> {
  const problems: Problem[] = [];
  const scratch = store.scratch();
  const connect = (reference: { domain: string; path: string }): Promise<Registry> =>
    Promise.resolve(new Registry(reference, { credentials: undefined, tlsVerify: true, backOff: 1 }));
  const repairer = repair ? new Repairer(store, scratch, { connect, runsOn: () => runsOn }) : undefined;
  await new StoreCheck(store, scratch, { quick, repairer, report: (problem) => problems.push(problem) }).run();
  scratch.remove();
  return problems;
}
