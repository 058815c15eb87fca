import { isatty } from 'node:tty';
import { Option, type Command } from 'commander';
import { type Reference } from '../runner/image/reference.ts';
import { type Credentials, findCredentials } from '../runner/image/registry/credentials.ts';
import { type Endpoint, endpointsOf } from '../runner/image/registry/endpoints.ts';
import { MirroredRepository } from '../runner/image/registry/mirrored-repository.ts';
import { readRegistriesConf } from '../runner/image/registry/registries-conf.ts';
import { Registry } from '../runner/image/registry/registry.ts';
import { type Repository } from '../runner/image/registry/repository.ts';
import { certDirOption } from './cert-dir.ts';
import { complain } from './complain.ts';
import { print, printError } from './print.ts';
import { createProgress, type Progress, type Words } from './progress.ts';
import { readSecret } from './secret.ts';
import { tlsVerifyOption } from './tls-verify.ts';

/** What all commands take that speak to a registry. */
export interface RegistryFlags {
  readonly tlsVerify: string;
  readonly certDir?: string;
  readonly creds?: string;
  readonly authfile?: string;
  readonly quiet?: boolean;
  readonly json?: boolean;
}

/** @param quiet what is printed with `--quiet`. */
export function addRegistryOptions(command: Command, quiet: string): Command {
  return command
    .addOption(tlsVerifyOption())
    .addOption(certDirOption())
    .addOption(new Option('--creds <user[:password]>', 'credentials, in place of those that login keeps'))
    .option('--authfile <file>', 'where the credentials are, in place of all files of login')
    .option('-q, --quiet', quiet)
    .option('--json', 'print an object a line');
}

/** Where credentials are: in the file of `--authfile` or those of login, and with the helpers of registries.conf. */
export function keepersOf(authfile: string | undefined): NonNullable<Parameters<typeof findCredentials>[2]> {
  const files = authfile === undefined ? undefined : [authfile];
  return { files, helpers: readRegistriesConf().credentialHelpers };
}

/** The credentials of `--creds`, asked for where it has no password, else those that are kept. */
async function credentialsFor(
  { domain, path }: Reference,
  creds: string | undefined,
  authfile: string | undefined,
): Promise<Credentials | undefined> {
  if (creds === undefined) return findCredentials(domain, path, keepersOf(authfile));
  const colon = creds.indexOf(':');
  const username = colon < 0 ? creds : creds.slice(0, colon);
  if (username === '') throw new Error('--creds has no user name: it is USER or USER:PASSWORD');
  const password = colon < 0 ? await readSecret(`Password for ${username}: `, false) : creds.slice(colon + 1);
  return { username, password };
}

/** Attempts with a mirror: there is another place to ask. */
const MIRROR_ATTEMPTS = 2;

/** What a reference is pulled from: the registry and its mirrors, by registries.conf. */
export async function openSource(reference: Reference, flags: RegistryFlags): Promise<Repository> {
  const endpoints = endpointsOf(reference, readRegistriesConf());
  const registries: Registry[] = [];
  for (const [at, endpoint] of endpoints.entries()) {
    const isLast = at === endpoints.length - 1;
    // What is given for the registry is not for whoever mirrors it.
    registries.push(
      await open(endpoint, flags, isLast ? flags.creds : undefined, isLast ? undefined : MIRROR_ATTEMPTS),
    );
  }
  return new MirroredRepository(registries, complain);
}

/** What is pushed to: never a mirror. Answers the reference in it, too. */
export async function openDestination(
  reference: Reference,
  flags: RegistryFlags,
): Promise<{ readonly registry: Registry; readonly target: Reference }> {
  const endpoint = endpointsOf(reference, readRegistriesConf()).at(-1) ?? { reference, insecure: false };
  return { registry: await open(endpoint, flags, flags.creds), target: endpoint.reference };
}

async function open(
  { reference, insecure }: Endpoint,
  flags: RegistryFlags,
  creds: string | undefined,
  attempts?: number,
): Promise<Registry> {
  const credentials = await credentialsFor(reference, creds, flags.authfile);
  const tlsVerify = flags.tlsVerify === 'true' && !insecure;
  const options = { credentials, tlsVerify, certificateDirectory: flags.certDir };
  return new Registry(reference, { ...options, ...(attempts === undefined ? {} : { attempts }) });
}

export function progressFor(flags: RegistryFlags, words: Words): Progress {
  return createProgress(flags, words, { print, say: printError, isTerminal: isatty(2) });
}
