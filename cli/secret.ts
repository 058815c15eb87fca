import { createInterface } from 'node:readline';
import { Writable } from 'node:stream';

/** Reads a line of the terminal. */
export async function readAnswer(prompt: string, option: string): Promise<string> {
  if (!process.stdin.isTTY) throw new Error(`standard input is no terminal to ask: use ${option}`);
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    return await new Promise((resolve) => {
      lines.question(prompt, resolve);
      lines.once('close', () => resolve(''));
    });
  } finally {
    lines.close();
  }
}

/** Reads a secret: all of standard input, or a line of the terminal that is not shown. */
export async function readSecret(prompt: string, fromInput: boolean): Promise<string> {
  if (fromInput) return (await readAll()).replace(/\r?\n$/, '');
  if (!process.stdin.isTTY)
    throw new Error('standard input is no terminal to ask for a password: use --password-stdin');
  process.stderr.write(prompt);
  // readline echoes what is typed to its output.
  const nowhere = new Writable({ write: (_chunk, _encoding, done) => done() });
  const lines = createInterface({ input: process.stdin, output: nowhere, terminal: true });
  try {
    return await new Promise((resolve) => lines.once('line', resolve).once('close', () => resolve('')));
  } finally {
    lines.close();
    process.stderr.write('\n');
  }
}

const LONGEST = 65_536;

async function readAll(): Promise<string> {
  let text = '';
  for await (const chunk of process.stdin.setEncoding('utf8')) {
    text += String(chunk);
    if (text.length > LONGEST) throw new Error(`the password is longer than ${LONGEST} characters`);
  }
  return text;
}
