import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { toText } from '../../fs/sys/bytes.ts';
import { type Digest, hexOf } from '../image/digest.ts';
import { type Store } from '../image/store.ts';
import { Container, isLive } from './container.ts';
import { isOfDirectories } from './directories.ts';
import { isContainerId } from './container-store.ts';

/** What is wrong with a container. */
export interface ContainerProblem {
  readonly subject: string;
  readonly problem: string;
  readonly remedy: string;
  /** Mends it, where that can be. */
  readonly mend: (() => void) | undefined;
}

/** Checks what the containers of a store need of it: their directories, their image's layers, and their hold on it. */
export function checkContainers(store: Store): { readonly count: number; readonly problems: ContainerProblem[] } {
  const directory = join(store.root, 'containers');
  const ids = existsSync(directory) ? readdirSync(directory).filter(isContainerId) : [];
  const holders = store.holders();
  return { count: ids.length, problems: ids.flatMap((id) => checkContainer(store, join(directory, id), holders)) };
}

function checkContainer(store: Store, directory: string, holders: ReadonlySet<string>): ContainerProblem[] {
  let container: Container;
  try {
    container = Container.open(directory);
  } catch (error) {
    const problem = error instanceof Error ? error.message : String(error);
    return [problemOf(directory, problem, 'it cannot be run any more; save what you need of its upper, and remove it')];
  }
  const subject = `container ${container.config.name}`;
  const remove = `it cannot be mended: lamina rm ${container.config.name}`;
  const missing = [container.upper, container.work, container.init].filter((path) => !existsSync(path));
  const lost = container.config.layers.map(toText).filter((path) => !existsSync(path));
  const problems = [
    ...missing.map((path) => problemOf(subject, `${path} is missing`, remove)),
    ...lost.map((path) => problemOf(subject, `its image's layer ${path} is missing`, remove)),
  ];
  if (!isOfDirectories(container) && !holders.has(container.id)) {
    const hold = (): void => store.hold(store.resolve(container.config.imageId), container.id);
    problems.push({
      ...problemOf(subject, 'does not hold its image, whose layers could be removed', '--repair makes it hold it'),
      mend: hold,
    });
  }
  return problems;
}

function problemOf(subject: string, problem: string, remedy: string): ContainerProblem {
  return { subject, problem, remedy, mend: undefined };
}

/** The name of a container that is at work on a layer. */
export function runsOnLayer(containers: readonly Container[], chainId: Digest): string | undefined {
  const name = hexOf(chainId);
  const found = containers.find((container) => {
    const isUser = container.config.layers.some((layer) => layer.endsWith(`/${name}`));
    return isUser && isLive(container.readState());
  });
  return found?.config.name;
}
