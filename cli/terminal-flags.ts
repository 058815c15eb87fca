import { isatty } from 'node:tty';
import { type Command } from 'commander';
import { type ClientEnd } from '../runner/container/supervisor/attached-client.ts';
import { DEFAULT_DETACH_KEYS, parseDetachKeys } from '../runner/container/terminal/detach-keys.ts';
import { printError } from './print.ts';

/** What the option of `addDetachKeys` gives. */
export interface DetachFlags {
  readonly detachKeys: string;
}

/** The option of every command that lends this terminal to a container. */
export function addDetachKeys(command: Command): Command {
  return command.option(
    '--detach-keys <keys>',
    'typed at this terminal, leave what runs with --tty to itself: characters or ctrl-X, between commas; "" for none',
    DEFAULT_DETACH_KEYS,
  );
}

/** @throws where they cannot be read. */
export function detachKeysOf({ detachKeys }: DetachFlags): Buffer {
  return parseDetachKeys(detachKeys);
}

/** As docker has it: who types at a terminal must have one. */
export function checkInput({ interactive, terminal }: { interactive: boolean; terminal: boolean }): void {
  if (interactive && terminal && !isatty(0)) {
    throw new Error('the input device is not a TTY: leave --tty out, or --interactive');
  }
}

/** The exit code for a client's end. */
export function sayHowItEnded(end: ClientEnd): number {
  if (end !== 'detached') return end.exitCode;
  // Where the prompt of the program inside is still on the line.
  printError('\nread escape sequence\n');
  return 0;
}
