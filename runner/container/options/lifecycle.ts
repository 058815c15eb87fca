import { signalNumber } from '../signals.ts';

const RESTART_POLICIES = ['no', 'on-failure', 'always', 'unless-stopped'] as const;

/** When a container that has ended is started anew. */
export interface RestartPolicy {
  readonly name: (typeof RESTART_POLICIES)[number];
  /** For `on-failure`: so many times at most; 0 for no limit. */
  readonly maximumRetries: number;
}

export const LOG_DRIVERS = ['json-file', 'none'] as const;

/** Where what the container writes is kept. */
export interface LogOptions {
  readonly driver: (typeof LOG_DRIVERS)[number];
  /** Bytes from which a new file is begun. */
  readonly maxSize?: number | undefined;
  /** Files that are kept. */
  readonly maxFile: number;
}

/** What the command line asks for of the container's life. */
export interface LifecycleOptions {
  /** It goes with its end. */
  readonly remove: boolean;
  readonly labels: Readonly<Record<string, string>>;
  readonly log: LogOptions;
  readonly restart: RestartPolicy;
  /** In place of the image's, a name or a number. */
  readonly stopSignal?: string | undefined;
  /** Seconds from that signal to SIGKILL; negative for no end of it. */
  readonly stopTimeout?: number | undefined;
  /** Its standard input ends with that of the first client that is attached to it. */
  readonly stdinOnce: boolean;
}

/** Docker's defaults. */
export const PLAIN_LIFECYCLE: LifecycleOptions = {
  remove: false,
  labels: {},
  log: { driver: 'json-file', maxFile: 1 },
  restart: { name: 'no', maximumRetries: 0 },
  stdinOnce: false,
};

/** `no`, `on-failure[:N]`, `always`, `unless-stopped`. */
export function parseRestartPolicy(text: string): RestartPolicy {
  const [, name, count] = /^([a-z-]+)(?::(\d{1,9}))?$/.exec(text) ?? [];
  const policy = RESTART_POLICIES.find((known) => known === name);
  if (policy === undefined || (count !== undefined && policy !== 'on-failure')) {
    throw new Error(`restart policy ${JSON.stringify(text)} is none of no, on-failure[:N], always and unless-stopped`);
  }
  return { name: policy, maximumRetries: Number(count ?? 0) };
}

const SIZE_UNITS: Readonly<Record<string, number>> = { '': 1, k: 1024, m: 1024 ** 2, g: 1024 ** 3 };

/** @param options `max-size=N[k|m|g]` and `max-file=N`, as docker's json-file driver has them. */
export function parseLogOptions(driver: LogOptions['driver'], options: readonly string[]): LogOptions {
  let log: LogOptions = { driver, maxFile: 1 };
  for (const option of options) {
    const at = option.indexOf('=');
    const [name, value] = [option.slice(0, Math.max(at, 0)), option.slice(at + 1)];
    if (name === 'max-size') log = { ...log, maxSize: parseSize(option, value) };
    else if (name === 'max-file' && /^[1-9]\d{0,3}$/.test(value)) log = { ...log, maxFile: Number(value) };
    else throw new Error(`log option ${JSON.stringify(option)} is neither max-size=N[k|m|g] nor max-file=N`);
  }
  if (driver === 'none' && options.length > 0) throw new Error('the log driver none has no options');
  if (log.maxFile > 1 && log.maxSize === undefined) throw new Error('the log option max-file needs max-size');
  return log;
}

function parseSize(option: string, text: string): number | undefined {
  if (text === '-1') return undefined;
  const [, digits, unit] = /^(\d{1,12})([kmg]?)b?$/i.exec(text) ?? [];
  const size = Number(digits) * (SIZE_UNITS[unit?.toLowerCase() ?? ''] ?? 0);
  if (size > 0) return size;
  throw new Error(`log option ${JSON.stringify(option)} is no size such as 10m`);
}

/** @throws where it is no signal. */
export function checkSignal(text: string): string {
  signalNumber(text);
  return text;
}
