import { parseArgs } from 'node:util';

import setup from '../../support/global-setup.ts';
import { GROUNDS, type Ground } from './case.ts';
import { CASES } from './cases.ts';
import { Sides } from './side.ts';
import { type Verdict, isAsListed, judge } from './verdict.ts';

const USAGE = `usage: npm run test:podman-table -- [--ground root|user] [--only PATTERN] [--verbose]

Runs the same commands through podman and lamina, as root and as an ordinary user, and compares standard output, exit
codes and standard error. Prints a line for each case: the same, or what differs and why. Needs root and podman. The exit
status is 1 where something differs that is not listed, or no longer differs.

  --ground NAME   as root, or as an ordinary user (default: both)
  --only PATTERN  cases whose name matches this regular expression
  --verbose       also what both said, step by step
`;

function transcript({ podman, lamina }: Verdict, steps: readonly string[]): string {
  const lines = steps.flatMap((step, index) => [
    `    $ ${step}`,
    ...(podman[index] ?? []).map((line) => `      podman  ${line}`),
    ...(lamina[index] ?? []).map((line) => `      lamina  ${line}`),
  ]);
  return `${lines.join('\n')}\n`;
}

function describe(verdict: Verdict): string {
  if (verdict.found.length === 0 && verdict.listed.length === 0) return 'same';
  if (isAsListed(verdict)) return `differs: ${verdict.reasons.join('; ')}`;
  const show = (title: string, lines: readonly string[]): string =>
    `\n    ${title}:${lines.map((line) => `\n      ${line}`).join('')}`;
  return `NOT AS LISTED${show('found', verdict.found)}${show('listed', verdict.listed)}`;
}

async function runGround(ground: Ground, only: RegExp, isVerbose: boolean): Promise<boolean> {
  const chosen = CASES.filter(({ name }) => only.test(name));
  const sides = new Sides(ground);
  const count = { same: 0, differ: 0, wrong: 0 };
  try {
    await sides.load(chosen);
    for (const one of chosen) {
      const verdict = await judge(sides, ground, one);
      process.stdout.write(`${ground}  ${one.name}: ${describe(verdict)}\n`);
      if (isVerbose) process.stdout.write(transcript(verdict, one.steps));
      if (!isAsListed(verdict)) count.wrong += 1;
      else if (verdict.found.length > 0) count.differ += 1;
      else count.same += 1;
    }
  } finally {
    await sides.close();
  }
  process.stdout.write(
    `${ground}: ${chosen.length} cases, ${count.same} the same, ${count.differ} differ for a listed reason, ${count.wrong} not as listed\n`,
  );
  return count.wrong === 0;
}

const { values } = parseArgs({
  options: {
    ground: { type: 'string' },
    only: { type: 'string', default: '' },
    verbose: { type: 'boolean', default: false },
    help: { type: 'boolean', default: false },
  },
});
if (values.help) process.stdout.write(USAGE);
else {
  const wanted = GROUNDS.filter((ground) => values.ground === undefined || values.ground === ground);
  if (wanted.length === 0) throw new Error(`--ground ${values.ground ?? ''} is neither root nor user`);
  setup();
  for (const ground of wanted) {
    if (!(await runGround(ground, new RegExp(values.only), values.verbose))) process.exitCode = 1;
  }
}
