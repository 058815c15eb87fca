import { execa, ExecaError } from 'execa';

/** A program and its arguments. */
export type CommandLine = readonly [string, ...string[]];

export interface CommandOptions {
  readonly cwd?: string;
  /** Ends the program early; the call rejects. */
  readonly signal?: AbortSignal;
}

/** A program that failed, in one line. */
class CommandError extends Error {
  override readonly name = 'CommandError';
}

function reason(error: ExecaError): string {
  const { stderr } = error;
  // Bytes, where its output is taken as bytes.
  const said = (stderr instanceof Uint8Array ? Buffer.from(stderr).toString() : String(stderr ?? '')).trim();
  return said === '' ? error.shortMessage : (said.split('\n', 1)[0] ?? said);
}

// Bare `instanceof` infers a class of `any`.
function isExecaError(error: unknown): error is ExecaError {
  return error instanceof ExecaError;
}

function failure(command: CommandLine, error: unknown): unknown {
  if (!isExecaError(error)) return error;
  const shown = command.join(' ').replace(/\s+/g, ' ').slice(0, 120);
  return new CommandError(`${shown}: ${reason(error)}`, { cause: error });
}

function environment(options: CommandOptions): object {
  return {
    ...(options.cwd !== undefined && { cwd: options.cwd }),
    ...(options.signal !== undefined && { cancelSignal: options.signal }),
    // Programs word and sort what they print by the locale, and some take time to load one.
    env: { LC_ALL: 'C' },
    stdin: 'ignore',
  } as const;
}

/** Runs a program to its end and drops what it prints; throws a `CommandError` where it fails. */
export async function run(command: CommandLine, options: CommandOptions = {}): Promise<void> {
  const [file, ...parameters] = command;
  try {
    await execa(file, parameters, { ...environment(options), stdout: 'ignore' });
  } catch (error) {
    throw failure(command, error);
  }
}

/** Runs a program and returns what it prints, as bytes in a latin1 string: a file's name need not be UTF-8. */
export async function capture(command: CommandLine, options: CommandOptions = {}): Promise<string> {
  const [file, ...parameters] = command;
  try {
    const done = await execa(file, parameters, { ...environment(options), encoding: 'buffer', maxBuffer: 1 << 28 });
    return Buffer.from(done.stdout).toString('latin1');
  } catch (error) {
    throw failure(command, error);
  }
}

/** Whether a program is on the PATH. */
export async function hasProgram(name: string): Promise<boolean> {
  const found = await execa('sh', ['-c', 'command -v "$0"', name], { reject: false, stdout: 'ignore' });
  return found.exitCode === 0;
}
