import { type Command } from 'commander';
import { type LifecycleOptions } from '../../runner/container/options/lifecycle.ts';

/** What the options of `addLifecycleFlags` give. */
export interface LifecycleFlags {
  readonly rm?: true;
}

/** Options of the container's life. */
export function addLifecycleFlags(command: Command): Command {
  return command.option('--rm', 'remove the container when it ends');
}

export function lifecycleOptionsOf({ rm }: LifecycleFlags): LifecycleOptions {
  return { remove: rm === true };
}
