import { SystemError, check } from '../../../fs/sys/errno.ts';
import { untilReadable } from '../../../fs/sys/event.ts';
import { close } from '../../../fs/sys/file.ts';
import { receiveDescriptor, socketpair } from '../../../fs/sys/socket.ts';
import { PseudoTerminal } from './pseudo-terminal.ts';

/** The way of a pty's master out of a container: the stage makes the pty in there, and hands it over a socket. */
export class TerminalChannel {
  /** To be given to the stage as TERMINAL_FD. */
  readonly theirs: number;
  readonly #ours: number;

  constructor() {
    const pair = socketpair();
    if (typeof pair === 'number') throw new SystemError('make a pair of sockets', pair);
    [this.#ours, this.theirs] = pair;
  }

  /** To be called when the stage has its end. */
  handOver(): void {
    close(this.theirs);
  }

  /** Resolves with the master, once the stage has its spec; rejects where the stage ends without having sent it. */
  async receive(): Promise<PseudoTerminal> {
    await untilReadable(this.#ours);
    const master = receiveDescriptor(this.#ours);
    this.close();
    return new PseudoTerminal(check(master, "receive the container's terminal"));
  }

  /** To be called where nothing is to be received. */
  close(): void {
    close(this.#ours);
  }
}
