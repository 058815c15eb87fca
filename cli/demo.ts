import { Command } from 'commander';
import { exitNow } from '../fs/index.ts';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { runDemo } from '../runner/demo/demo.ts';
import { complain, messageOf } from './complain.ts';

async function act(): Promise<void> {
  let exitCode = 1;
  try {
    await enterUserNamespace();
    exitCode = await runDemo();
  } catch (error) {
    complain(messageOf(error));
  }
  // A worker that serves a mount which others still hold would keep Node's own exit waiting.
  exitNow(exitCode);
}

/** `lamina demo`, which is `npm start`. */
export function createCommand(): Command {
  return new Command('demo')
    .description("Build an image from this machine's own programs, run a container in it, show what it changed.")
    .action(act);
}
