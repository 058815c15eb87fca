import { Command } from 'commander';
import { exitNow } from '../fs/index.ts';
import { enterUserNamespace } from '../runner/container/userns.ts';
import { runDemo } from '../runner/demo/demo.ts';

async function act(): Promise<void> {
  await enterUserNamespace();
  // A worker that serves a mount which others still hold would keep Node's own exit waiting.
  exitNow(await runDemo());
}

/** `lamina demo`, which is `npm start`. */
export function createCommand(): Command {
  return new Command('demo')
    .description("Build an image from this machine's own programs, run a container in it, show what it changed.")
    .action(act);
}
