import { Command } from 'commander';
import { certDirOption } from './cert-dir.ts';
import { familiarHost } from './registry-host.ts';
import { FILES, findCredentials, ownAuthFile } from '../runner/image/registry/credentials.ts';
import { keepCredentials } from '../runner/image/registry/login.ts';
import { Registry } from '../runner/image/registry/registry.ts';
import { print } from './print.ts';
import { keepersOf } from './registry-flags.ts';
import { tlsVerifyOption } from './tls-verify.ts';
import { readAnswer, readSecret } from './secret.ts';

interface Flags {
  readonly username?: string;
  readonly password?: string;
  readonly passwordStdin?: boolean;
  readonly getLogin?: true;
  readonly authfile?: string;
  readonly tlsVerify: string;
  readonly certDir?: string;
}

/** `lamina login`. */
export function createCommand(): Command {
  return new Command('login')
    .description('Keep credentials for a registry, where podman and skopeo find them, too.')
    .argument('[registry]', 'host, with a port where it has one', 'docker.io')
    .option('-u, --username <name>', 'user name; else it is asked for')
    .option('-p, --password <password>', 'password, which others then see among the processes; else it is asked for')
    .option('--password-stdin', 'read the password from standard input')
    .option('--get-login', 'print the user name that is kept for the registry, and do nothing else')
    .option('-v, --verbose', 'accepted: the file is always told')
    .option('--authfile <file>', 'where to keep them (default: $REGISTRY_AUTH_FILE, else the place that podman has)')
    .addOption(tlsVerifyOption())
    .addOption(certDirOption())
    .action(login);
}

async function login(host: string, flags: Flags): Promise<void> {
  const domain = familiarHost(host);
  if (flags.getLogin === true) {
    await printLogin(domain, flags.authfile);
    return;
  }
  if (flags.password !== undefined && flags.passwordStdin === true)
    throw new Error('--password and --password-stdin do not go together');
  const username = flags.username ?? (await readAnswer(`user name at ${domain}: `, '--username'));
  if (username === '') throw new Error(`cannot log in to ${domain}: the user name is empty`);
  const isPiped = flags.passwordStdin === true;
  const password = flags.password ?? (await readSecret(`password of ${username} at ${domain}: `, isPiped));
  if (password === '') throw new Error(`cannot log in to ${domain}: the password is empty`);
  const tlsVerify = flags.tlsVerify === 'true';
  const options = { credentials: { username, password }, tlsVerify, certificateDirectory: flags.certDir };
  const registry = new Registry({ domain, path: '' }, options);
  try {
    await registry.ping();
  } catch (error) {
    throw new Error(`cannot log in to ${domain}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  } finally {
    await registry.close();
  }
  const file = flags.authfile ?? ownAuthFile();
  const { helpers = [FILES] } = keepersOf(flags.authfile);
  const keeper = await keepCredentials(file, helpers, domain, { username, password });
  print(`Logged in to ${domain}; the credentials are in ${keeper}\n`);
}

async function printLogin(domain: string, authfile: string | undefined): Promise<void> {
  const known = await findCredentials(domain, '', keepersOf(authfile));
  if (known === undefined) throw new Error(`not logged in to ${domain}`);
  print(`${'username' in known ? known.username : '<token>'}\n`);
}
