import { Command } from 'commander';
import { exitNow } from '../fs/index.ts';
import { ContainerStore } from '../runner/container/container-store.ts';
import { exec } from '../runner/container/exec/exec.ts';
import { resolveEnvironment } from '../runner/container/options/process.ts';
import { EXIT, RunError } from '../runner/container/spec.ts';
import { storeRoot } from '../runner/image/store-root.ts';
import { complain, messageOf } from './complain.ts';
import { collect } from './container-flags/collect.ts';
import { type DetachFlags, addDetachKeys, checkInput, detachKeysOf, sayHowItEnded } from './terminal-flags.ts';

interface Flags extends DetachFlags {
  readonly detach?: true;
  readonly interactive?: true;
  readonly tty?: true;
  readonly privileged?: true;
  readonly env?: readonly string[];
  readonly envFile?: readonly string[];
  readonly workdir?: string;
  readonly user?: string;
}

const ENDS = `
The command gets what the container's own was given: its environment, working directory and user, its control group,
limits, capabilities and seccomp filter. It ends with the container at the latest. Where this command is killed, what
runs with --tty gets SIGHUP, and what runs with --interactive reads the end of its input; what does neither, runs on.
Exit codes are the command's own; 126 where it cannot be run, 127 where there is none, 1 where the container does not run.`;

async function run(reference: string, args: readonly string[], flags: Flags): Promise<number> {
  const { workdir, user, env = [], envFile = [] } = flags;
  if (workdir !== undefined && !workdir.startsWith('/')) {
    throw new RunError(`working directory ${JSON.stringify(workdir)} is not an absolute path`, EXIT.ownError);
  }
  const container = new ContainerStore(storeRoot()).find(reference);
  const options = {
    ...{ args, workdir, user, env: resolveEnvironment(envFile, env), privileged: flags.privileged === true },
    ...{ interactive: flags.interactive === true, terminal: flags.tty === true, detached: flags.detach === true },
  };
  if (!options.detached) checkInput(options);
  return sayHowItEnded(await exec(container, options, detachKeysOf(flags)));
}

async function act(reference: string, args: readonly string[], flags: Flags): Promise<void> {
  let exitCode: number;
  try {
    exitCode = await run(reference, args, flags);
  } catch (error) {
    complain(messageOf(error));
    exitCode = error instanceof RunError ? error.exitCode : 1;
  }
  // A read of our standard input that waits would keep Node's own exit waiting.
  exitNow(exitCode);
}

/** `lamina exec`. */
export function createCommand(): Command {
  const command = new Command('exec')
    .description('Run one more command in a container that runs.')
    .argument('<container>', 'name, id, or the first digits of the id')
    .argument('<command...>', 'what to run, with its arguments')
    .option('-d, --detach', 'return when it runs, and let it run on by itself')
    .option('-i, --interactive', 'keep standard input open; without it the command reads end of file')
    .option('-t, --tty', "a terminal of the container's own for the command, whose size is that of this one")
    .option('-e, --env <name[=value]>', "set a variable, or pass on the caller's own; can be repeated", collect)
    .option('--env-file <file>', 'variables from a file, one a line; can be repeated', collect)
    .option('-w, --workdir <directory>', "working directory, which must exist (default: the container's)")
    .option('-u, --user <user[:group]>', "names or numbers (default: the container's)")
    .option('--privileged', 'all capabilities');
  return addDetachKeys(command)
    .addHelpText('after', ENDS)
    .passThroughOptions()
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT.ownError))
    .action(act);
}
