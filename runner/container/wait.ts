import { type Container } from './container.ts';
import { ask, NotLive } from './supervisor/control-client.ts';

/** Waits until a container does not run; answers its exit code, 0 for one that never ran. */
export async function waitForEnd(container: Container): Promise<number> {
  try {
    const { exitCode } = await ask(container, { do: 'wait', until: 'exit' });
    return Number(exitCode);
  } catch (error) {
    if (!(error instanceof NotLive)) throw error;
    const { status, exitCode } = container.readState();
    return exitCode ?? (status === 'created' ? 0 : DEAD);
  }
}

// Of a container whose supervisor was killed: SIGKILL, as far as anybody can tell.
const DEAD = 137;
