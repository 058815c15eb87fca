import { Command, Option } from 'commander';
import { exitNow } from '../fs/index.ts';
import { type StandardStreams } from '../runner/container/client-output.ts';
import { type ForegroundOptions, run } from '../runner/container/run.ts';
import { EXIT, RunError } from '../runner/container/spec.ts';
import { complain, messageOf } from './complain.ts';
import { collect } from './container-flags/collect.ts';
import { type ContainerFlags, addContainerFlags, containerOptionsOf } from './container-flags/container-flags.ts';
import { type IdFlags, addIdFlags, noteId, replaceIfAsked } from './container-flags/identity.ts';
import { type DetachFlags, addDetachKeys, checkInput, detachKeysOf, sayHowItEnded } from './terminal-flags.ts';
import { print } from './print.ts';
import { enterNamespacesFor } from './shared-namespaces.ts';

const LIFETIME = `
Without --detach, --tty and --restart the container is to end with this command, which serves its filesystem: should this
command be killed, the kernel kills the container too. With one of them a process of its own does that, its supervisor.
With --detach this command ends when the container's command runs, or could not be started; with --tty it ends with the
container, or when the detach keys are typed: "lamina attach" comes back. A program inside can escape the end of what
serves its filesystem (PR_SET_PDEATHSIG), and one that is executed set-uid, set-gid or with file capabilities as the
container's first process escapes it by the kernel's own rule. Such a container runs on without its filesystem; "lamina
ps" shows it as orphaned, and "lamina rm -f" kills it.`;

interface Flags extends ContainerFlags, DetachFlags, IdFlags {
  readonly detach?: true;
  readonly attach?: readonly string[];
  readonly sigProxy: string;
}

/** Which of our standard files the container is connected with: those of --attach, else all, standard input with -i. */
function streamsOf({ attach, interactive }: Flags): StandardStreams {
  const all = ['stdout', 'stderr', ...(interactive === true ? ['stdin'] : [])];
  const wanted = (attach ?? all).map((name) => name.toLowerCase());
  const unknown = wanted.find((name) => !['stdin', 'stdout', 'stderr'].includes(name));
  if (unknown !== undefined) throw new Error(`--attach ${unknown} is none of stdin, stdout and stderr`);
  return { stdin: wanted.includes('stdin'), stdout: wanted.includes('stdout'), stderr: wanted.includes('stderr') };
}

/** How we take part in a container that is not detached. */
function clientOf(flags: Flags): ForegroundOptions {
  const forwardsSignals = flags.sigProxy !== 'false';
  return { streams: streamsOf(flags), forwardsSignals, created: noteId(flags), report: complain };
}

async function runInForeground(image: string, command: readonly string[], flags: Flags): Promise<number> {
  return run(containerOptionsOf(image, command, flags, true), clientOf(flags));
}

async function detach(image: string, command: readonly string[], flags: Flags): Promise<number> {
  if (flags.attach !== undefined) throw new Error('--attach and --detach do not go together');
  const { runDetached } = await import('../runner/container/run-detached.ts');
  const options = containerOptionsOf(image, command, flags, false);
  const { id } = await runDetached(options, { created: noteId(flags), report: complain });
  print(`${id}\n`);
  return 0;
}

async function runAside(image: string, command: readonly string[], flags: Flags): Promise<number> {
  const { runAttached } = await import('../runner/container/run-attached.ts');
  const options = containerOptionsOf(image, command, flags, true);
  checkInput(options.container.process);
  const client = { ...clientOf(flags), detachKeys: detachKeysOf(flags) };
  return sayHowItEnded(await runAttached(options, client));
}

function runnerOf({ detach: isDetached, restart, tty }: Flags): typeof runInForeground {
  if (isDetached === true) return detach;
  // Who starts it again must not be us, who are gone with its first end.
  return tty === true || restart !== 'no' ? runAside : runInForeground;
}

async function act(image: string, command: readonly string[], flags: Flags): Promise<void> {
  let exitCode: number;
  try {
    await enterNamespacesFor(flags);
    await replaceIfAsked(flags);
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
  return addDetachKeys(addIdFlags(addContainerFlags(command)))
    .option('-d, --detach', "print the container's id and let it run on by itself")
    .option('-a, --attach <stream>', 'connect stdin, stdout or stderr, and not the others; can be repeated', collect)
    .addOption(
      new Option('--sig-proxy <boolean>', 'pass signals on to the command').choices(['true', 'false']).default('true'),
    )
    .addHelpText('after', LIFETIME)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT.ownError))
    .action(act);
}
