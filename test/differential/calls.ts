import { directoryCalls } from './calls-directory.ts';
import { FILE_CALLS } from './calls-file.ts';
import { HELD_CALLS } from './calls-held.ts';
import { NAME_CALLS } from './calls-name.ts';
import { type Step } from './step.ts';
import { type Answer, actAs, outcomeOf, World } from './world.ts';

type Action = (world: World, ...parameters: never[]) => Answer;

const CALLS: ReadonlyMap<string, Action> = new Map<string, Action>(
  [NAME_CALLS, FILE_CALLS, HELD_CALLS, directoryCalls(act)].flatMap((calls) => Object.entries(calls)),
);

/** Does one step; answers what came of it. */
export function act(world: World, step: Step): string {
  const action = CALLS.get(step.call);
  if (action === undefined) throw new Error(`there is no call ${step.call}`);
  return outcomeOf(() => {
    actAs(step.by);
    return action(world, ...(step.with as never[]));
  });
}
