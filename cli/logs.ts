import { Command } from 'commander';
import { type LogEntry } from '../runner/container/logs/json-log.ts';
import { logEntries } from '../runner/container/logs/follow.ts';
import { parseMoment } from '../runner/image/filters.ts';
import { findContainer } from './each-container.ts';
import { print, printError } from './print.ts';

interface Flags {
  readonly follow?: true;
  readonly since?: string;
  readonly until?: string;
  readonly tail: string;
  readonly timestamps?: true;
}

function tailOf(text: string): number | undefined {
  if (text === 'all' || /^-\d+$/.test(text)) return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new Error(`--tail ${JSON.stringify(text)} is neither a number of lines nor "all"`);
}

function show({ log, stream, time }: LogEntry, timestamps: boolean): void {
  const text = timestamps ? `${time} ${log}` : log;
  (stream === 'stderr' ? printError : print)(text);
}

async function act(reference: string, { follow, since, until, tail, timestamps }: Flags): Promise<void> {
  const container = findContainer(reference);
  const { config } = container;
  if (config.options?.lifecycle.log.driver === 'none') {
    throw new Error(`container ${config.name} keeps no log: it was made with --log-driver none`);
  }
  const window = {
    tail: tailOf(tail),
    since: since === undefined ? undefined : parseMoment(since),
    until: until === undefined ? undefined : parseMoment(until),
  };
  for await (const entry of logEntries(container, window, follow === true)) show(entry, timestamps === true);
}

/** `lamina logs`. */
export function createCommand(): Command {
  return new Command('logs')
    .description(
      'Print what a container has written: its standard output to ours, its standard error to ours. What a container wrote whose ' +
        'two went to one file of its client is all standard output.',
    )
    .argument('<container>', 'name, id, or first digits of the id')
    .option('-f, --follow', 'go on until the container ends')
    .option('-n, --tail <lines>', 'the last so many lines', 'all')
    .option('--since <time>', 'from a time on: RFC 3339, seconds since 1970, or a duration before now such as 10m')
    .option('--until <time>', 'up to a time')
    .option('-t, --timestamps', 'the time before each line')
    .option('--details', 'accepted for the sake of docker: there are none')
    .action(act);
}
