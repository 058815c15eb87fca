import { Command } from 'commander';
import { type Check } from '../runner/doctor/check.ts';
import { type Diagnosis, diagnose } from '../runner/doctor/doctor.ts';
import { print } from './print.ts';
import { alignRows } from './table.ts';

const EXPLANATION = `
What cannot be seen is tried, in namespaces of its own and in a directory of the store (LAMINA_ROOT), which is removed
again. Ends with 1 where no container can run here.`;

function describe({ checks, driver, why }: Diagnosis): string {
  const lines = alignRows(checks.map(({ verdict, name, detail }) => [verdict, name, detail]));
  const remedies = checks.filter(({ remedy }) => remedy !== undefined);
  const toMend =
    remedies.length === 0 ? [] : ['', 'To mend:', ...alignRows(remedies.map(toRow)).map((line) => `  ${line}`)];
  const advice = driver === undefined ? `No driver: ${why}` : `Recommended: --driver ${driver}: ${why}`;
  return [...lines, ...toMend, '', advice, ''].join('\n');
}

function toRow({ name, remedy = '' }: Check): string[] {
  return [name, remedy];
}

async function run(flags: { readonly json?: true }): Promise<void> {
  const diagnosis = await diagnose();
  print(flags.json === true ? `${JSON.stringify(diagnosis, null, 2)}\n` : describe(diagnosis));
  if (diagnosis.driver === undefined) process.exitCode = 1;
}

/** `lamina doctor`. */
export function createCommand(): Command {
  return new Command('doctor')
    .description('tell what this host can do for containers, what serves their filesystems best, and what is missing')
    .option('--json', 'print JSON')
    .addHelpText('after', EXPLANATION)
    .action(run);
}
