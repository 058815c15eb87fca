import { type SpawnSyncReturns, spawnSync } from 'node:child_process';
import { findProgram } from './program.ts';

/** Lines of ps(1), taken apart. */
export interface ProcessTable {
  readonly titles: readonly string[];
  readonly processes: readonly (readonly string[])[];
}

/** What docker gives ps(1) where nothing is given. */
const DEFAULT_OPTIONS = ['-ef'];

const LONGEST_OUTPUT = 256 * 1024 * 1024;

/**
 * What the machine's own ps(1) says of some processes: there need not be one in their container.
 *
 * @param options of ps; PID must be among what it shows.
 */
export function listProcesses(pids: readonly number[], options: readonly string[]): ProcessTable {
  const args = options.length === 0 ? DEFAULT_OPTIONS : options;
  // Without it ps chooses by itself, by its own terminal; some options do not go along with it.
  const chosen = tryPs([...args, `-q${pids.join(',')}`]);
  return selectProcesses(chosen.status === 0 ? chosen.stdout : outputOf(args), new Set(pids));
}

function outputOf(args: readonly string[]): string {
  const { status, stdout, stderr, error } = tryPs(args);
  if (status === 0) return stdout;
  throw new Error(`cannot run ps ${args.join(' ')}: ${stderr.split('\n', 1)[0] || (error?.message ?? 'it failed')}`);
}

function tryPs(args: readonly string[]): SpawnSyncReturns<string> {
  // Its lines are not for the terminal's width.
  const env = { ...process.env, COLUMNS: undefined, LINES: undefined };
  const ps = findProgram('ps', 'procps');
  return spawnSync(ps, args, { env, encoding: 'utf8', maxBuffer: LONGEST_OUTPUT });
}

/** @param text what ps has printed: a line of titles, then one for each process. */
export function selectProcesses(text: string, pids: ReadonlySet<number>): ProcessTable {
  const [titleLine = '', ...lines] = text.split('\n');
  const titles = wordsOf(titleLine);
  const column = titles.indexOf('PID');
  if (column < 0)
    throw new Error("ps shows no column PID with these options: it takes that to tell the container's own");
  const rows = lines.map((line) => cellsOf(line, titles.length));
  return { titles, processes: rows.filter((row) => pids.has(Number(row[column]))) };
}

/** The last column, commonly the command, has all that is left. */
function cellsOf(line: string, columns: number): string[] {
  const words = wordsOf(line);
  return [...words.slice(0, columns - 1), words.slice(columns - 1).join(' ')];
}

function wordsOf(line: string): string[] {
  return line.split(/\s+/).filter((word) => word !== '');
}
