import { type Case } from './case.ts';

/** What one step said and how it ended, in lines. */
export type StepLines = readonly string[];

// In order: what is longer first. A zone of time, a fraction and docker's and podman's forms are all one.
const EVERYWHERE: Case['normalise'] = [
  [/\bsha256:[0-9a-f]{64}\b/g, '<digest>'],
  [/\b[0-9a-f]{64}\b/g, '<id>'],
  [/\b[0-9a-f]{12}\b/g, '<short id>'],
  [/\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:Z| ?[+-]\d\d:?\d\d)(?: UTC)?/g, '<time>'],
  [/\b(?:About an? \w+|Less than a second|\d+ (?:second|minute)s?)\b/g, '<age>'],
];

// What podman and its runtime say of their own accord, and lamina; the wording is each one's own.
const OWN_MESSAGE = /^(?:Error: |lamina: |error: |time="[^"]*" level=(?:error|fatal) )/;
// Notes, and what is proposed behind a message about the command line.
const NOTE =
  /^(?:time="[^"]*" level=(?:warning|info) |See '|Try '|\((?:use |Did you |lamina --help)|Did you mean|\t|$)/;

/** @param here directories of this side alone. */
export function linesOf(
  { stdout, stderr, code }: { readonly stdout: string; readonly stderr: string; readonly code: number },
  { normalise = [] }: Case,
  here: readonly string[],
): StepLines {
  const normal = (text: string): string => {
    const own = here.reduce((rest, path) => rest.replaceAll(path, '<here>'), text);
    return [...normalise, ...(EVERYWHERE ?? [])].reduce((rest, [what, by]) => rest.replace(what, by), own);
  };
  const said = split(normal(stdout));
  const complained = split(stderr.replace(/\r/g, ''))
    .filter((line) => !NOTE.test(line))
    .map((line) => (OWN_MESSAGE.test(line) ? '<message>' : normal(line)))
    .filter((line, index, all) => line !== '<message>' || all[index - 1] !== line);
  return [...said, ...complained.map((line) => `stderr: ${line}`), `exit ${code}`];
}

function split(text: string): string[] {
  const lines = text.split('\n');
  // A last line without its end is told from one with it.
  const last = lines.pop() ?? '';
  return last === '' ? lines : [...lines, `${last}<no newline>`];
}

/** Lines that only one side has, by step; none where both are the same. */
export function compare(podman: readonly StepLines[], lamina: readonly StepLines[]): readonly string[] {
  const steps = Math.max(podman.length, lamina.length);
  return Array.from({ length: steps }, (_, index) =>
    difference(podman[index] ?? [], lamina[index] ?? []).map((line) => `${index + 1}${line}`),
  ).flat();
}

/** By the longest common subsequence: `- line` of the first, `+ line` of the second. */
function difference(one: StepLines, other: StepLines): string[] {
  const lengths = Array.from({ length: one.length + 1 }, () => new Array<number>(other.length + 1).fill(0));
  const at = (i: number, j: number): number => lengths[i]?.[j] ?? 0;
  for (let i = one.length - 1; i >= 0; i -= 1) {
    for (let j = other.length - 1; j >= 0; j -= 1) {
      const row = lengths[i] ?? [];
      row[j] = one[i] === other[j] ? at(i + 1, j + 1) + 1 : Math.max(at(i + 1, j), at(i, j + 1));
    }
  }
  const lines: string[] = [];
  let [i, j] = [0, 0];
  while (i < one.length || j < other.length) {
    if (i < one.length && j < other.length && one[i] === other[j]) [i, j] = [i + 1, j + 1];
    else if (j === other.length || (i < one.length && at(i + 1, j) >= at(i, j + 1))) lines.push(`- ${one[i++] ?? ''}`);
    else lines.push(`+ ${other[j++] ?? ''}`);
  }
  return lines;
}
