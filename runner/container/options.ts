import { readFileSync, realpathSync, statSync } from 'node:fs';
import { isAbsolute, normalize } from 'node:path';
import { type Backend } from '../../fs/index.ts';
import { type Image } from '../image/image.ts';
import { type ObtainOptions } from '../image/obtain.ts';
import { type ContainerProcess } from './container.ts';
import { type Volume } from './spec.ts';

/** What the command line of `lamina run` asks for. */
export interface RunOptions {
  readonly image: string;
  /** How it comes into the store; without it, it must be there. */
  readonly obtain?: ObtainOptions;
  readonly command: readonly string[];
  readonly remove: boolean;
  readonly interactive: boolean;
  readonly readOnly: boolean;
  /** `NAME=VALUE` or `NAME`, in order. */
  readonly env: readonly string[];
  readonly envFiles: readonly string[];
  readonly volumes: readonly Volume[];
  readonly isolatedNetwork: boolean;
  /** Who serves the container's filesystem; without it, LAMINA_BACKEND says so. */
  readonly backend?: Backend | undefined;
  readonly workdir?: string | undefined;
  readonly user?: string | undefined;
  readonly name?: string | undefined;
  readonly hostname?: string | undefined;
  readonly entrypoint?: string | undefined;
}

const DEFAULT_PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** The command as docker puts it together: entrypoint and arguments of the image, unless others are given. */
export function commandOf(options: RunOptions, image: Image): string[] {
  const [first, rest] = commandParts(options, image);
  const args = [...first, ...rest];
  if (args.length === 0) throw new Error(`image ${options.image} has no command: say which one to run after its name`);
  return args;
}

function commandParts(
  { entrypoint, command }: RunOptions,
  { config }: Image,
): [entrypoint: readonly string[], cmd: readonly string[]] {
  // An entrypoint that is given takes the image's arguments away with its entrypoint; an empty one gives none.
  const first = entrypoint === undefined ? config.entrypoint : entrypoint === '' ? [] : [entrypoint];
  return [first, command.length > 0 || entrypoint !== undefined ? command : config.cmd];
}

/** What an image that is made of the container is to start, as docker and podman have it: what the container started. */
export function processOf(options: RunOptions, image: Image): ContainerProcess {
  const [entrypoint, cmd] = commandParts(options, image);
  const { env, user, workingDir } = image.config;
  return {
    entrypoint,
    cmd,
    env: mergeEnvironment([], [...env, ...givenEnvironment(options)]),
    workingDir: options.workdir ?? workingDir,
    user: options.user ?? user,
  };
}

/** The working directory: the one asked for, else the image's. */
export function workdirOf(options: RunOptions, image: Image): string {
  if (options.workdir !== undefined) return options.workdir;
  return image.config.workingDir || '/';
}

/** The environment: defaults, the image's, files', the command line's, each winning over those before it. */
export function environmentOf(options: RunOptions, image: Image, hostname: string): string[] {
  const defaults = [`PATH=${DEFAULT_PATH}`, `HOSTNAME=${hostname}`, 'container=lamina'];
  return mergeEnvironment(defaults, [...image.config.env, ...givenEnvironment(options)]);
}

function givenEnvironment(options: RunOptions): (string | undefined)[] {
  return [...options.envFiles.flatMap(readEnvFile), ...options.env].map(resolveEntry);
}

function mergeEnvironment(defaults: readonly string[], entries: readonly (string | undefined)[]): string[] {
  const env = new Map<string, string>();
  for (const entry of [...defaults, ...entries]) {
    const at = entry?.indexOf('=') ?? -1;
    if (entry !== undefined && at > 0) env.set(entry.slice(0, at), entry.slice(at + 1));
  }
  return [...env].map(([name, value]) => `${name}=${value}`);
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

/** `HOST:INSIDE[:ro|:rw]`, as docker's -v for a path of the host. */
export function parseVolume(text: string): Volume {
  const [source = '', destination = '', mode = 'rw', ...rest] = text.split(':');
  const form = `volume ${JSON.stringify(text)} is not HOST-PATH:PATH-INSIDE[:ro]`;
  if (rest.length > 0 || source === '' || !['ro', 'rw'].includes(mode)) throw new Error(form);
  if (!/^[./]/.test(source)) throw new Error(`${form}: ${source} is no path (named volumes are not supported)`);
  if (!isAbsolute(destination)) throw new Error(`${form}: ${destination || 'what is inside'} is not an absolute path`);
  return { source: existing(source), destination: checkDestination(destination), readOnly: mode === 'ro' };
}

function existing(source: string): string {
  try {
    statSync(source);
    return realpathSync(source);
  } catch (error) {
    throw new Error(`cannot bind ${source} into the container: ${String(error)}`, { cause: error });
  }
}

function checkDestination(path: string): string {
  const destination = normalize(path).replace(/(.)\/+$/, '$1');
  const isForbidden = destination === '/' || destination === '/proc' || destination.startsWith('/proc/');
  if (isForbidden) throw new Error(`cannot bind on ${destination} in the container: its root and /proc are its own`);
  return destination;
}

/** A host name as the kernel and docker take it. */
export function checkHostname(hostname: string): string {
  if (/^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,62})$/.test(hostname)) return hostname;
  throw new Error(
    `hostname ${JSON.stringify(hostname.slice(0, 100))} is not valid: letters, digits, "-" and ".", at most 63`,
  );
}
