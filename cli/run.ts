import { writeFileSync } from 'node:fs';
import { Command, Option } from 'commander';
import { exitNow } from '../fs/index.ts';
import { type Container } from '../runner/container/container.ts';
import { run } from '../runner/container/run.ts';
import { EXIT, RunError } from '../runner/container/spec.ts';
import { complain, messageOf } from './complain.ts';
import { type ContainerFlags, addContainerFlags, containerOptionsOf } from './container-flags/container-flags.ts';
import { enterNamespacesFor } from './container-flags/network.ts';
import { type DetachFlags, addDetachKeys, checkInput, detachKeysOf, sayHowItEnded } from './terminal-flags.ts';
import { print } from './print.ts';

const LIFETIME = `
Without --detach and --tty the container is to end with this command, which serves its filesystem: should this command be killed,
the kernel kills the container too. With one of them a process of its own does that, its
supervisor. With --detach this command ends when the container's command runs, or could not be started; with --tty it
ends with the container, or when the detach keys are typed: "lamina attach" comes back. A program inside can escape the end of what serves its
filesystem (PR_SET_PDEATHSIG), and one that is executed set-uid, set-gid or with file capabilities as the container's
first process escapes it by the kernel's own rule. Such a container runs on without its filesystem; "lamina ps" shows it
as orphaned, and "lamina rm -f" kills it.`;

interface Flags extends ContainerFlags, DetachFlags {
  readonly detach?: true;
  readonly cidfile?: string;
  readonly sigProxy: string;
}

/** Writes the id where --cidfile says, which no earlier run must have done. */
function noteId({ cidfile }: Flags): (container: Container) => void {
  return ({ id }) => {
    if (cidfile !== undefined) writeFileSync(cidfile, id, { flag: 'wx' });
  };
}

async function runInForeground(image: string, command: readonly string[], flags: Flags): Promise<number> {
  const options = containerOptionsOf(image, command, flags, true);
  return run(options, {
    streams: { stdin: options.container.process.interactive, stdout: true, stderr: true },
    forwardsSignals: flags.sigProxy !== 'false',
    created: noteId(flags),
    report: complain,
  });
}

async function detach(image: string, command: readonly string[], flags: Flags): Promise<number> {
  const { runDetached } = await import('../runner/container/run-detached.ts');
  const options = containerOptionsOf(image, command, flags, false);
  const { id } = await runDetached(options, { created: noteId(flags), report: complain });
  print(`${id}\n`);
  return 0;
}

async function runOnTerminal(image: string, command: readonly string[], flags: Flags): Promise<number> {
  const { runAttached } = await import('../runner/container/run-attached.ts');
  const options = containerOptionsOf(image, command, flags, true);
  checkInput(options.container.process);
  const end = await runAttached(options, {
    detachKeys: detachKeysOf(flags),
    forwardsSignals: flags.sigProxy !== 'false',
    created: noteId(flags),
    report: complain,
  });
  return sayHowItEnded(end);
}

function runnerOf({ detach: isDetached, tty }: Flags): typeof runInForeground {
  if (isDetached === true) return detach;
  return tty === true ? runOnTerminal : runInForeground;
}

async function act(image: string, command: readonly string[], flags: Flags): Promise<void> {
  let exitCode: number;
  try {
    await enterNamespacesFor(flags);
    exitCode = await runnerOf(flags)(image, command, flags);
  } catch (error) {
    complain(messageOf(error));
    exitCode = error instanceof RunError ? error.exitCode : EXIT.ownError;
  }
  // A worker that serves a mount which others still hold would keep Node's own exit waiting.
  exitNow(exitCode);
}

/** `lamina run`. */
export function createCommand(): Command {
  const command = new Command('run').description('Run a command in a new container.');
  return addDetachKeys(addContainerFlags(command))
    .option('-d, --detach', "print the container's id and let it run on by itself")
    .option('--cidfile <file>', "write the container's id to a file, which must not be there")
    .addOption(new Option('--sig-proxy [boolean]', 'pass signals on to the command').default('true').preset('true'))
    .addHelpText('after', LIFETIME)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT.ownError))
    .action(act);
}
