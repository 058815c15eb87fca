import { readFileSync, realpathSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { type ByteString } from '../../fs/index.ts';
import { type Container } from '../container/container.ts';
import { plainContainer } from '../container/options/container-options.ts';
import { run } from '../container/run.ts';
import { writeDurably } from '../image/durable-file.ts';
import { mountHostTree } from './host-tree.ts';

/** A command that is tried. */
export interface TryOptions {
  readonly command: readonly string[];
  /** The directory that is its root; of the host. */
  readonly root: string;
  readonly workdir: string;
  readonly name: string | undefined;
  readonly interactive: boolean;
}

/** What is kept of a try beside its container. */
export interface TryRecord {
  readonly root: string;
  /** Milliseconds since 1970: what has changed later was changed meanwhile. */
  readonly started: number;
  /** Its changes are being made to the host, which what they are told by changes with. */
  readonly plan?: ApplicationPlan;
}

/** What must be known of changes before the first of them is made. */
export interface ApplicationPlan {
  /** Names of one file each. */
  readonly links: readonly (readonly ByteString[])[];
  readonly deletions: readonly ByteString[];
  /** All but the deletions is done. */
  readonly isMade: boolean;
}

const RECORD = 'try.json';

/** Where the host's tree is shown, in the mount namespace of a try. */
export function hostTree(storeRoot: string): string {
  return join(storeRoot, 'host');
}

/**
 * Runs a command in a container over a directory of the host, of which nothing is changed. Call it where
 * `enterPrivateMounts` has been.
 *
 * @param created told of the container, which stays.
 */
export async function tryCommand(
  storeRoot: string,
  options: TryOptions,
  created: (container: Container) => void,
  report: (message: string) => void,
): Promise<number> {
  const root = realpathSync(options.root);
  const record: TryRecord = { root, started: Date.now() };
  mountHostTree(root, hostTree(storeRoot), storeRoot);
  const plain = plainContainer(options.command);
  const { workdir, interactive } = options;
  const process_ = { ...plain.process, workdir, interactive, env: callerEnvironment(), hostname: shortHostname() };
  const wanted = {
    image: root,
    directories: [hostTree(storeRoot)],
    name: options.name,
    container: {
      ...plain,
      // Kernel overlayfs shows nothing of what is mounted inside a layer.
      driver: 'union' as const,
      process: process_,
      mounts: { ...plain.mounts, hasHostFiles: true as const },
      lifecycle: { ...plain.lifecycle, log: { ...plain.lifecycle.log, driver: 'none' as const } },
    },
  };
  return run(wanted, {
    streams: { stdin: interactive, stdout: true, stderr: true },
    forwardsSignals: true,
    created: (made) => {
      created(made);
      writeRecord(made, record);
    },
    report,
  });
}

/** What is known of a container that was made by a try. */
export function readRecord({ directory, config: { name } }: Container): TryRecord {
  try {
    return JSON.parse(readFileSync(join(directory, RECORD), 'utf8')) as TryRecord;
  } catch (error) {
    throw new Error(`container ${name} was not made by "lamina try"`, { cause: error });
  }
}

export function writeRecord({ directory }: Container, record: TryRecord): void {
  const path = join(directory, RECORD);
  writeDurably(path, JSON.stringify(record), `${path}.new`);
}

function callerEnvironment(): string[] {
  return Object.entries(process.env).map(([name, value]) => `${name}=${value ?? ''}`);
}

function shortHostname(): string {
  return hostname().slice(0, 63);
}
