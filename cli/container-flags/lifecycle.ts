import { readFileSync } from 'node:fs';
import { type Command, Option } from 'commander';
import {
  LOG_DRIVERS,
  type LifecycleOptions,
  type LogOptions,
  checkSignal,
  parseLogOptions,
  parseRestartPolicy,
} from '../../runner/container/options/lifecycle.ts';
import { collect } from './collect.ts';

/** What the options of `addLifecycleFlags` give. */
export interface LifecycleFlags {
  readonly rm?: true;
  readonly label?: readonly string[];
  readonly labelFile?: readonly string[];
  readonly stopSignal?: string;
  readonly stopTimeout?: string;
  readonly restart: string;
  readonly logDriver: LogOptions['driver'];
  readonly logOpt?: readonly string[];
}

/** Options of the container's life. */
export function addLifecycleFlags(command: Command): Command {
  return command
    .option('--rm', 'remove the container when it ends')
    .option('-l, --label <name[=value]>', 'a label of the container; can be repeated', collect)
    .option('--label-file <file>', 'labels from a file, one a line; can be repeated', collect)
    .option('--stop-signal <signal>', "what asks the command to end (default: the image's, else SIGTERM)")
    .option('--stop-timeout <seconds>', 'from that signal to SIGKILL; negative for no end of it (default: 10)')
    .option('--restart <policy>', 'start it again when it ends: no, on-failure[:N], always, unless-stopped', 'no')
    .addOption(
      new Option('--log-driver <driver>', 'where what it writes is kept for lamina logs')
        .choices(LOG_DRIVERS)
        .default('json-file'),
    )
    .option(
      '--log-opt <name=value>',
      'max-size=N[k|m|g] begins a new file, max-file=N are kept; can be repeated',
      collect,
    );
}

/** @param stdinOnce standard input ends with that of the first client. */
export function lifecycleOptionsOf(flags: LifecycleFlags, stdinOnce: boolean): LifecycleOptions {
  const { rm, label = [], labelFile = [], stopSignal, stopTimeout, restart, logDriver, logOpt = [] } = flags;
  const policy = parseRestartPolicy(restart);
  if (rm === true && policy.name !== 'no') throw new Error('--rm and --restart do not go together');
  return {
    remove: rm === true,
    labels: labelsOf([...labelFile.flatMap(readLabels), ...label]),
    log: parseLogOptions(logDriver, logOpt),
    restart: policy,
    stopSignal: stopSignal === undefined ? undefined : checkSignal(stopSignal),
    stopTimeout: stopTimeout === undefined ? undefined : secondsOf('--stop-timeout', stopTimeout),
    stdinOnce,
  };
}

/** Whole seconds. */
export function secondsOf(option: string, text: string): number {
  if (/^-?\d{1,9}$/.test(text)) return Number(text);
  throw new Error(`${option} ${JSON.stringify(text)} is no number of seconds`);
}

function labelsOf(labels: readonly string[]): Record<string, string> {
  return Object.fromEntries(
    labels.map((label) => {
      const at = label.indexOf('=');
      const name = at < 0 ? label : label.slice(0, at);
      if (name === '') throw new Error(`label ${JSON.stringify(label)} has no name`);
      return [name, at < 0 ? '' : label.slice(at + 1)];
    }),
  );
}

function readLabels(path: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new Error(`cannot read --label-file ${path}: ${String(error)}`, { cause: error });
  }
  const lines = text.split('\n').map((line) => line.replace(/\r$/, '').trimStart());
  return lines.filter((line) => line !== '' && !line.startsWith('#'));
}
