import { writeFileSync } from 'node:fs';
import { Socket } from 'node:net';
import { close } from '../../fs/sys/file.ts';
import { makePipe } from './pipe.ts';
import { type StageStatus } from './spec.ts';
import { type PseudoTerminal } from './terminal/pseudo-terminal.ts';
import { TerminalChannel } from './terminal/terminal-channel.ts';

/** What a stage is given beside its standard files: the pipes of its spec and its failure, and the way out of its pty. */
export class StagePipes {
  /** What become its descriptors SPEC_FD, STATUS_FD and TERMINAL_FD. */
  readonly files: readonly [spec: number, status: number, terminal: number | 'ignore'];
  /** Resolved once the stage has become the command, or has ended. */
  readonly status: Promise<StageStatus>;
  readonly #spec: number;
  readonly #channel: TerminalChannel | undefined;

  constructor(wantsTerminal: boolean) {
    const spec = makePipe();
    const status = makePipe();
    this.#channel = wantsTerminal ? new TerminalChannel() : undefined;
    this.files = [spec.readEnd, status.writeEnd, this.#channel?.theirs ?? 'ignore'];
    this.#spec = spec.writeEnd;
    this.status = readStatus(status.readEnd);
  }

  /** To be called when the stage has been started, or could not be. */
  handOver(): void {
    for (const file of this.files) if (file !== 'ignore') close(file);
  }

  /** In place of `send`: a stage that there may be finds that there is nothing to run. */
  giveUp(): void {
    close(this.#spec);
  }

  /** @param spec becomes JSON. */
  send(spec: object): void {
    try {
      writeFileSync(this.#spec, JSON.stringify(spec));
    } catch (error) {
      // A stage that has been killed meanwhile: its exit code tells.
      if ((error as NodeJS.ErrnoException).code !== 'EPIPE') throw error;
    } finally {
      close(this.#spec);
    }
  }

  /** The terminal, where there is to be one; to be called once, after `send`. */
  async terminal(): Promise<PseudoTerminal | undefined> {
    // Where the stage fails before it has a terminal, its failure says why.
    return this.#channel?.receive().catch(() => undefined);
  }
}

/** A line of JSON each; of what was cut short, nothing. */
async function readStatus(statusPipe: number): Promise<StageStatus> {
  const chunks: Buffer[] = [];
  for await (const chunk of new Socket({ fd: statusPipe, readable: true, writable: false }))
    chunks.push(chunk as Buffer);
  const lines = Buffer.concat(chunks).toString('utf8').split('\n').slice(0, -1);
  return Object.assign({}, ...lines.map((line) => JSON.parse(line) as StageStatus)) as StageStatus;
}
