import { execFileSync, spawnSync } from 'node:child_process';
import { expect } from 'vitest';

const PATIENCE = { timeout: 20_000, interval: 50 };

let count = 0;

/** A terminal, tmux's, in which a shell runs. */
export class Tmux {
  readonly #socket = `lamina-${process.pid}-${++count}`;

  /** @param env what the shell has besides this process's environment. */
  constructor(env: Readonly<Record<string, string>>) {
    const variables = Object.entries(env).flatMap(([name, value]) => ['-e', `${name}=${value}`]);
    this.#run('-f', '/dev/null', 'new-session', '-d', '-x', '80', '-y', '24', ...variables, 'env', 'sh');
  }

  #run(...args: readonly string[]): string {
    return execFileSync('tmux', ['-L', this.#socket, ...args], { encoding: 'utf8' });
  }

  /** Presses keys, by tmux's names. */
  press(...keys: readonly string[]): void {
    this.#run('send-keys', ...keys);
  }

  /** Types a line. */
  type(line: string): void {
    this.#run('send-keys', '-l', line);
    this.press('Enter');
  }

  resize(columns: number, rows: number): void {
    this.#run('resize-window', '-x', String(columns), '-y', String(rows));
  }

  /** What the terminal shows, lines that it has scrolled by included. */
  get screen(): string {
    return this.#run('capture-pane', '-p', '-S', '-2000');
  }

  /** Resolves when the terminal shows it. */
  async shows(what: string | RegExp): Promise<void> {
    const shown = expect.poll(() => this.screen.replace(/\n+$/, '\n'), PATIENCE);
    await (typeof what === 'string' ? shown.toContain(what) : shown.toMatch(what));
  }

  close(): void {
    spawnSync('tmux', ['-L', this.#socket, 'kill-server']);
  }
}

/** A word of a command line, for a shell to take as it is. */
export function quoted(word: string): string {
  return `'${word.replaceAll("'", String.raw`'\''`)}'`;
}
