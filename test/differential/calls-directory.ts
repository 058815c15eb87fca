import { type Entry, readAll, readOn, readSome, seekBehind } from './directory.ts';
import { type Step } from './step.ts';
import { actAs, type World } from './world.ts';

const O_RDONLY = 0;
const O_DIRECTORY = process.arch === 'arm64' ? 0o40000 : 0o200000;

function sorted(entries: readonly Entry[]): string {
  return entries
    .map(({ name, type }) => `${name}:${type}`)
    .sort()
    .join(' ');
}

function namesOf(entries: readonly Entry[]): Set<string> {
  return new Set(entries.map(({ name }) => name));
}

/** What a reader may not see: a name twice, one that was there all the time not at all, one that never was. */
function violations(seen: readonly Entry[], before: ReadonlySet<string>, after: ReadonlySet<string>): string[] {
  const names = namesOf(seen);
  const found: string[] = [];
  for (const name of before) if (after.has(name) && !names.has(name)) found.push(`${name} is left out`);
  for (const name of names) {
    const often = seen.filter((entry) => entry.name === name).length;
    if (often > 1 && before.has(name) && after.has(name)) found.push(`${name} comes ${often} times`);
  }
  return found;
}

/**
 * Calls that read directories.
 *
 * @param act does a step between two reads.
 */
export const directoryCalls = (act: (world: World, step: Step) => string) => ({
  names: (world: World, path: string) =>
    world.using(path, O_RDONLY | O_DIRECTORY, (fd) => sorted(readOn(fd, world.isReference))),

  /** Reads with a small buffer, does steps that change the directory, and reads the rest. */
  scan: (world: World, path: string, capacity: number, first: number, between: readonly Step[]) =>
    world.using(path, O_RDONLY | O_DIRECTORY, (fd) => {
      const before = world.using(path, O_RDONLY | O_DIRECTORY, (other) => namesOf(readAll(other, world.isReference)));
      const seen: Entry[] = [];
      for (let part = 0; part < first; part += 1) seen.push(...(readSome(fd, world.isReference, capacity) ?? []));
      const touched = between.map((step) => [act(world, step), step] as const);
      actAs('root');
      seen.push(...readOn(fd, world.isReference, capacity));
      const after = namesOf(readAll(fd, world.isReference));
      // A name that came and went again is neither there all the time nor never.
      for (const [, step] of touched)
        for (const word of step.with) if (typeof word === 'string') before.delete(word.split('/').at(-1) ?? '');
      return [...touched.map(([outcome]) => outcome), ...violations(seen, before, after)].join(', ');
    }),

  /** Goes back to behind every entry in turn, the last first: the rest that is read there must be the same again. */
  seekdir: (world: World, path: string, capacity: number) =>
    world.using(path, O_RDONLY | O_DIRECTORY, (fd) => {
      const all = readOn(fd, world.isReference, capacity);
      const wrong: string[] = [];
      for (let at = all.length - 1; at >= 0; at -= 1) {
        const entry = all[at];
        if (entry === undefined) continue;
        seekBehind(fd, entry);
        const rest = sorted(readOn(fd, world.isReference, capacity));
        if (rest !== sorted(all.slice(at + 1))) wrong.push(`behind ${entry.name}: ${rest}`);
      }
      return [sorted(all), ...wrong].join(', ');
    }),

  /** Of a directory that a slot holds, from its start. */
  heldNames: (world: World, slot: number) => sorted(readAll(world.holding(slot).fd, world.isReference)),
});
