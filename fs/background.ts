import { rawArguments } from './arguments.ts';
import { mountOptions, parseCommandLine } from './command-line.ts';
import { Launcher } from './launcher.ts';
import { serveAsDaemon } from './serve-as-daemon.ts';

/** Mounts for a shell that waits; this process's arguments are the shell's process id, then those of fuse-lamina. */
export async function mountInBackground(): Promise<void> {
  const launcher = new Launcher();
  try {
    const [shell = '', ...parameters] = rawArguments();
    const options = mountOptions(parseCommandLine(parameters));
    const answer = (): Promise<boolean> => launcher.tellMounted();
    if (launcher.leave(shell)) {
      await serveAsDaemon(options, answer);
    } else {
      const [{ spawnDaemon }, { unmountAt }] = await Promise.all([import('./daemon.ts'), import('./unmount.ts')]);
      await spawnDaemon(options);
      if (!(await answer())) await unmountAt(options.mountpoint);
    }
  } catch (error) {
    launcher.tellRefused(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}
