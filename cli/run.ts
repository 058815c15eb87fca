import { Command } from 'commander';
import { exitNow } from '../fs/index.ts';
import { run } from '../runner/container/run.ts';
import { EXIT, RunError } from '../runner/container/spec.ts';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { complain, messageOf } from './complain.ts';
import { type ContainerFlags, addContainerFlags, containerOptionsOf } from './container-flags/container-flags.ts';

const LIFETIME = `
The container is to end with this command, which serves its filesystem: should this command be killed, the kernel
kills the container too. A program inside can escape that (PR_SET_PDEATHSIG), and one that is executed set-uid, set-gid
or with file capabilities as the container's first process escapes it by the kernel's own rule. Such a container runs
on without its filesystem; "lamina ps" shows it as orphaned, and "lamina rm -f" kills it.`;

async function act(image: string, command: readonly string[], flags: ContainerFlags): Promise<void> {
  let exitCode: number;
  try {
    await enterUserNamespace();
    exitCode = await run(containerOptionsOf(image, command, flags), complain);
  } catch (error) {
    complain(messageOf(error));
    exitCode = error instanceof RunError ? error.exitCode : EXIT.ownError;
  }
  // A worker that serves a mount which others still hold would keep Node's own exit waiting.
  exitNow(exitCode);
}

/** `lamina run`. */
export function createCommand(): Command {
  const command = new Command('run').description(
    "Run a command in a new container, in the foreground. The network is the host's for now.",
  );
  return addContainerFlags(command)
    .addHelpText('after', LIFETIME)
    .exitOverride((error) => process.exit(error.exitCode === 0 ? 0 : EXIT.ownError))
    .action(act);
}
