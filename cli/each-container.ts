import { type Container } from '../runner/container/container.ts';
import { ContainerStore } from '../runner/container/container-store.ts';
import { storeRoot } from '../runner/image/store-root.ts';
import { complain, messageOf } from './complain.ts';
import { print } from './print.ts';

/** The container of a name or id. */
export function findContainer(reference: string): Container {
  return new ContainerStore(storeRoot()).find(reference);
}

/**
 * Does something to each of some containers, all at once, and prints the references of those where it was done, in their
 * order; the exit code tells whether it was for all.
 */
export async function eachContainer(
  references: readonly string[],
  work: (container: Container) => unknown,
): Promise<void> {
  const done = references.map(async (reference) => {
    await work(findContainer(reference));
  });
  for (const [at, outcome] of (await Promise.allSettled(done)).entries()) {
    if (outcome.status === 'fulfilled') {
      print(`${references[at] ?? ''}\n`);
      continue;
    }
    complain(messageOf(outcome.reason));
    process.exitCode = 1;
  }
}
