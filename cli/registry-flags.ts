import { isatty } from 'node:tty';
import { Option, type Command } from 'commander';
import { type Reference } from '../runner/image/reference.ts';
import { type Credentials, findCredentials } from '../runner/image/registry/credentials.ts';
import { Registry } from '../runner/image/registry/registry.ts';
import { print, printError } from './print.ts';
import { createProgress, type Progress, type Words } from './progress.ts';
import { readSecret } from './secret.ts';
import { tlsVerifyOption } from './tls-verify.ts';

/** What all commands take that speak to a registry. */
export interface RegistryFlags {
  readonly tlsVerify: string;
  readonly creds?: string;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

/** @param quiet what is printed with `--quiet`. */
export function addRegistryOptions(command: Command, quiet: string): Command {
  return command
    .addOption(tlsVerifyOption())
    .addOption(new Option('--creds <user[:password]>', 'credentials, in place of those that login keeps'))
    .option('-q, --quiet', quiet)
    .option('--json', 'print an object a line');
}

/** The credentials of `--creds`, asked for where it has no password, else those that are kept. */
async function credentialsFor(reference: Reference, { creds }: RegistryFlags): Promise<Credentials | undefined> {
  if (creds === undefined) return findCredentials(reference.domain, reference.path);
  const colon = creds.indexOf(':');
  const username = colon < 0 ? creds : creds.slice(0, colon);
  if (username === '') throw new Error('--creds has no user name: it is USER or USER:PASSWORD');
  const password = colon < 0 ? await readSecret(`Password for ${username}: `, false) : creds.slice(colon + 1);
  return { username, password };
}

export async function openRegistry(reference: Reference, flags: RegistryFlags): Promise<Registry> {
  return new Registry(reference, {
    credentials: await credentialsFor(reference, flags),
    tlsVerify: flags.tlsVerify === 'true',
  });
}

export function progressFor(flags: RegistryFlags, words: Words): Progress {
  return createProgress(flags, words, { print, say: printError, isTerminal: isatty(2) });
}
