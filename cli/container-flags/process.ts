import { type Command } from 'commander';
import { type ProcessOptions, checkHostname, resolveEnvironment } from '../../runner/container/options/process.ts';
import { findInit } from '../../runner/container/init-program.ts';
import { collect } from './collect.ts';

/** What the options of `addProcessFlags` give. */
export interface ProcessFlags {
  readonly interactive?: true;
  readonly tty?: true;
  readonly env?: readonly string[];
  readonly envFile?: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
  readonly hostname?: string;
  readonly entrypoint?: string;
  readonly init?: true;
  readonly initPath?: string;
}

/** Options of the container's first process. */
export function addProcessFlags(command: Command): Command {
  return command
    .option('-i, --interactive', 'keep standard input open; without it the command reads end of file')
    .option('-t, --tty', "a terminal of the container's own for the command, whose size is that of this one")
    .option('-e, --env <name[=value]>', "set a variable, or pass on the caller's own; can be repeated", collect)
    .option('--env-file <file>', 'variables from a file, one a line; can be repeated', collect)
    .option('-w, --workdir <directory>', 'working directory, which must exist')
    .option('-u, --user <user[:group]>', 'names or numbers')
    .option('-h, --hostname <name>', "host name; the id's first digits where none is given")
    .option(
      '--entrypoint <command>',
      "in place of the image's entrypoint: a program, or a JSON list of it and its arguments",
    )
    .option(
      '--init',
      'a small init of this machine (catatonit, docker-init, tini) as process 1, which reaps and passes signals on',
    )
    .option('--init-path <file>', 'which one');
}

/** @param inherited its host name where none is given: of the namespaces that it shares. */
export function processOptionsOf(
  command: readonly string[],
  flags: ProcessFlags,
  inherited: string | undefined,
): ProcessOptions {
  const { workdir, user, hostname: name, entrypoint, env = [], envFile = [] } = flags;
  if (workdir !== undefined && !workdir.startsWith('/')) {
    throw new Error(`working directory ${JSON.stringify(workdir)} is not an absolute path`);
  }
  return {
    command,
    env: resolveEnvironment(envFile, env),
    interactive: flags.interactive === true,
    terminal: flags.tty === true,
    ...{ workdir, user, entrypoint: entrypoint === undefined ? undefined : entrypointOf(entrypoint) },
    ...(flags.init === true ? { init: findInit(flags.initPath) } : {}),
    hostname: name === undefined ? inherited : checkHostname(name),
  };
}

/** As podman has it: what is no list of JSON is the program itself. */
function entrypointOf(text: string): string | readonly string[] {
  if (!text.startsWith('[')) return text;
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch {
    return text;
  }
  const words = Array.isArray(list) ? (list as unknown[]) : [];
  return words.every((word) => typeof word === 'string') ? words : text;
}
