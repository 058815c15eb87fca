import { spawn } from 'node:child_process';

/** A program to be run, and waited for. */
export interface Program {
  readonly file: string;
  readonly parameters: readonly string[];
  /** What it gets as its descriptor 3. */
  readonly descriptor?: number;
}

/** How a program ended. */
export interface ProgramEnd {
  /** Null where a signal ended it, or it could not be run. */
  readonly status: number | null;
  readonly stderr: string;
  /** Why it could not be run. */
  readonly failure?: { readonly code: string | undefined; readonly message: string };
}

/** Runs a program; never rejects. */
export type RunProgram = (program: Program) => Promise<ProgramEnd>;

export function asFailure(error: NodeJS.ErrnoException): ProgramEnd {
  return { status: null, stderr: '', failure: { code: error.code, message: error.message } };
}

/** Runs a program from this thread, which waits until it has been found and begun. */
export const runProgram: RunProgram = ({ file, parameters, descriptor }) => {
  const child = spawn(file, parameters, { stdio: ['ignore', 'ignore', 'pipe', descriptor ?? 'ignore'] });
  let stderr = '';
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  return new Promise((resolve) => {
    child.on('error', (error) => resolve(asFailure(error)));
    child.on('close', (status) => resolve({ status, stderr }));
  });
};
