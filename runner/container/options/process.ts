import { readFileSync } from 'node:fs';
import { type Image } from '../../image/image.ts';
import { type ContainerProcess } from '../container.ts';

/** What the command line asks for of the container's first process. */
export interface ProcessOptions {
  /** In place of the image's own arguments, where it is not empty. */
  readonly command: readonly string[];
  /** In place of the image's entrypoint: a program, or one with arguments; empty for none. */
  readonly entrypoint?: string | readonly string[] | undefined;
  /** `NAME=VALUE`, in order: what was given, resolved. */
  readonly env: readonly string[];
  readonly workdir?: string | undefined;
  readonly user?: string | undefined;
  readonly hostname?: string | undefined;
  readonly interactive: boolean;
  /** The host's program that is process 1 and starts the command. */
  readonly init?: string | undefined;
  /** A pty for the command. */
  readonly terminal: boolean;
}

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The command as docker puts it together: entrypoint and arguments of the image, unless others are given. */
export function commandOf(options: ProcessOptions, image: Image): string[] {
  const [first, rest] = commandParts(options, image);
  return [...first, ...rest];
}

function commandParts(
  { entrypoint, command }: ProcessOptions,
  { config }: Image,
): [entrypoint: readonly string[], cmd: readonly string[]] {
  // An entrypoint that is given takes the image's arguments away with its entrypoint; an empty one gives none.
  const first = entrypoint === undefined ? config.entrypoint : [entrypoint].flat().filter((word) => word !== '');
  return [first, command.length > 0 || entrypoint !== undefined ? command : config.cmd];
}

/** What an image that is made of the container is to start, as docker and podman have it: what the container started. */
export function processOf(options: ProcessOptions, image: Image): ContainerProcess {
  const [entrypoint, cmd] = commandParts(options, image);
  const { env, user, workingDir } = image.config;
  return {
    entrypoint,
    cmd,
    env: mergeEnvironment([], [...env, ...options.env]),
    workingDir: options.workdir ?? workingDir,
    user: options.user ?? user,
  };
}

/** The working directory: the one asked for, else the image's. */
export function workdirOf(options: ProcessOptions, image: Image): string {
  if (options.workdir !== undefined) return options.workdir;
  return image.config.workingDir || '/';
}

/** The environment: defaults, the image's, files', the command line's, each winning over those before it. */
export function environmentOf(options: ProcessOptions, image: Image, hostname: string): string[] {
  const defaults = [`PATH=${DEFAULT_PATH}`, `HOSTNAME=${hostname}`, 'container=lamina'];
  const terminal = options.terminal ? ['TERM=xterm'] : [];
  return mergeEnvironment([...defaults, ...terminal], [...image.config.env, ...options.env]);
}

export function mergeEnvironment(defaults: readonly string[], entries: readonly string[]): string[] {
  const env = new Map<string, string>();
  for (const entry of [...defaults, ...entries]) {
    const at = entry.indexOf('=');
    if (at > 0) env.set(entry.slice(0, at), entry.slice(at + 1));
  }
  return [...env].map(([name, value]) => `${name}=${value}`);
}

/**
 * The environment that files and the command line give, in this order, with the caller's own values filled in.
 *
 * @param env `NAME=VALUE` or `NAME`.
 */
export function resolveEnvironment(envFiles: readonly string[], env: readonly string[]): string[] {
  return [...envFiles.flatMap(readEnvFile), ...env].map(resolveEntry).filter((entry) => entry !== undefined);
}

/** A name alone stands for the caller's own value, and for nothing where there is none. */
function resolveEntry(entry: string): string | undefined {
  if (entry === '' || entry.startsWith('=')) throw new Error(`environment ${JSON.stringify(entry)} has no name`);
  // As a file of them may have: the kernel's strings end there, and another value than the one shown would be set.
  if (entry.includes('\0')) throw new Error(`environment ${JSON.stringify(entry.slice(0, 100))} holds a NUL byte`);
  if (entry.includes('=')) return entry;
  const value = process.env[entry];
  return value === undefined ? undefined : `${entry}=${value}`;
}

function readEnvFile(path: string): string[] {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw new Error(`cannot read --env-file ${path}: ${String(error)}`, { cause: error });
  }
  const lines = text.split('\n').map((line) => line.replace(/\r$/, '').trimStart());
  return lines.filter((line) => line !== '' && !line.startsWith('#'));
}

/** A host name as the kernel and docker take it. */
export function checkHostname(hostname: string): string {
  if (/^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,62})$/.test(hostname)) return hostname;
  throw new Error(
    `hostname ${JSON.stringify(hostname.slice(0, 100))} is not valid: letters, digits, "-" and ".", at most 63`,
  );
}

const SHORT_ID = 12;

/** The host name: the one asked for, else the first digits of the container's id. */
export function hostnameOf({ hostname }: ProcessOptions, id: string): string {
  return hostname ?? id.slice(0, SHORT_ID);
}
