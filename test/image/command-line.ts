import { type ChildProcess, type SpawnSyncReturns, spawn, spawnSync } from 'node:child_process';
import { join } from 'node:path';

import { DIST } from '../support/paths.ts';
import { temporary } from './ground.ts';

const PROGRAM = join(DIST, 'cli/lamina.js');

/** The program, with a store of its own. */
export class CommandLine {
  readonly root = join(temporary(), 'store');
  readonly #prefix: readonly string[];

  /** @param prefix a command that runs the program in other circumstances. */
  constructor(...prefix: readonly string[]) {
    this.#prefix = prefix;
  }

  /** The words that start the program. */
  get command(): readonly string[] {
    return [...this.#prefix, process.execPath, PROGRAM];
  }

  start(args: readonly string[]): ChildProcess {
    return spawn(process.execPath, [PROGRAM, ...args], {
      stdio: 'ignore',
      env: { ...process.env, LAMINA_ROOT: this.root },
    });
  }

  call(args: readonly string[], input: Buffer | string = ''): SpawnSyncReturns<string> {
    const [file = '', ...rest] = [...this.command, ...args];
    return spawnSync(file, rest, { encoding: 'utf8', input, env: { ...process.env, LAMINA_ROOT: this.root } });
  }

  /** Standard output; throws where the command fails. */
  output(args: readonly string[], input: Buffer | string = ''): string {
    const { status, stdout, stderr } = this.call(args, input);
    if (status !== 0) throw new Error(`${args.join(' ')}: ${stderr}`);
    return stdout;
  }
}
