import { Command, Option } from 'commander';
import { exitNow } from '../fs/index.ts';
import { attach } from '../runner/container/attach.ts';
import { EXIT } from '../runner/container/spec.ts';
import { complain, messageOf } from './complain.ts';
import { findContainer } from './each-container.ts';
import { type DetachFlags, addDetachKeys, detachKeysOf, sayHowItEnded } from './terminal-flags.ts';

interface Flags extends DetachFlags {
  /** False with --no-stdin. */
  readonly stdin: boolean;
  readonly sigProxy: string;
}

async function act(reference: string, flags: Flags): Promise<void> {
  const { stdin, sigProxy } = flags;
  let exitCode: number;
  try {
    const container = findContainer(reference);
    const isInteractive = container.config.options?.process.interactive === true;
    const streams = { stdin: stdin && isInteractive, stdout: true, stderr: true };
    const client = { streams, forwardsSignals: sigProxy !== 'false', detachKeys: detachKeysOf(flags) };
    exitCode = sayHowItEnded(await attach(container, client));
  } catch (error) {
    complain(messageOf(error));
    exitCode = EXIT.ownError;
  }
  exitNow(exitCode);
}

/** `lamina attach`. */
export function createCommand(): Command {
  const command = new Command('attach')
    .description(
      'Show what a container that runs writes from now on, pass it standard input where it was made with -i, and end with its ' +
        'exit code. Ended by SIGKILL or a closed terminal, this command leaves the container running.',
    )
    .argument('<container>', 'name, id, or first digits of the id')
    .option('--no-stdin', 'keep standard input to ourselves')
    .addOption(
      new Option('--sig-proxy <boolean>', 'pass signals on to the command').choices(['true', 'false']).default('true'),
    )
    .action(act);
  return addDetachKeys(command);
}
