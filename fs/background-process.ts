import { rawArguments } from './arguments.ts';
import { backendOf } from './backend.ts';
import { mountOptions, parseCommandLine } from './command-line.ts';
import { Launcher } from './launcher.ts';
import { serveAsDaemon } from './serve-as-daemon.ts';
import { startSpareWorker } from './spare-worker.ts';

// The process that fuse-lamina, a shell script, starts: a mount takes one Node in place of two, one that waits for another.
// Arguments: the shell's process id, then its own arguments.

async function main(): Promise<void> {
  const launcher = new Launcher();
  try {
    const [shell = '', ...parameters] = rawArguments();
    const options = mountOptions(parseCommandLine(parameters));
    if (backendOf(options.fuse ?? {}) === 'device') startSpareWorker();
    const answer = (): boolean => launcher.tellMounted();
    if (launcher.leave(shell)) {
      await serveAsDaemon(options, answer);
    } else {
      const [{ spawnDaemon }, { unmountAt }] = await Promise.all([import('./daemon.ts'), import('./unmount.ts')]);
      await spawnDaemon(options);
      if (!answer()) await unmountAt(options.mountpoint);
    }
  } catch (error) {
    launcher.tellRefused(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}

void main();
