import { readAll } from './directory.ts';
import { LISTS_NOTHING } from './remarks.ts';
import { asRoot, outcomeOf, Remark, type World } from './world.ts';

const O_DIRECTORY = process.arch === 'arm64' ? 0o40000 : 0o200000;
const DOTS = new Set(['.', '..']);

function listsNothing(world: World, path: string): boolean {
  const list = () => world.using(path, O_DIRECTORY, (fd) => readAll(fd, world.isReference));
  return asRoot(list).every(({ name }) => DOTS.has(name));
}

/** Takes the place of an empty directory; tells where one that lists nothing is not empty enough. */
export function emptying(world: World, path: string, action: () => number): void {
  const outcome = outcomeOf(() => void action());
  if (outcome === 'ENOTEMPTY' && listsNothing(world, path)) throw new Remark(LISTS_NOTHING);
  if (outcome !== 'ok') throw new Remark(outcome);
}
