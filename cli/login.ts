import { Command } from 'commander';
import { certDirOption } from './cert-dir.ts';
import { familiarHost } from './registry-host.ts';
import { ownAuthFile } from '../runner/image/registry/credentials.ts';
import { saveCredentials } from '../runner/image/registry/login.ts';
import { Registry } from '../runner/image/registry/registry.ts';
import { print } from './print.ts';
import { tlsVerifyOption } from './tls-verify.ts';
import { readSecret } from './secret.ts';

interface Flags {
  readonly username?: string;
  readonly passwordStdin?: boolean;
  readonly authfile?: string;
  readonly tlsVerify: string;
  readonly certDir?: string;
}

/** `lamina login`. */
export function createCommand(): Command {
  return new Command('login')
    .description('Keep credentials for a registry, where podman and skopeo find them, too.')
    .argument('[registry]', 'host, with a port where it has one', 'docker.io')
    .requiredOption('-u, --username <name>', 'user name')
    .option('--password-stdin', 'read the password from standard input; else it is asked for')
    .option('--authfile <file>', 'where to keep them (default: $REGISTRY_AUTH_FILE, else the place that podman has)')
    .addOption(tlsVerifyOption())
    .addOption(certDirOption())
    .action(login);
}

async function login(host: string, flags: Flags): Promise<void> {
  const domain = familiarHost(host);
  const username = flags.username ?? '';
  const password = await readSecret(`password of ${username} at ${domain}: `, flags.passwordStdin === true);
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
  await saveCredentials(file, domain, { username, password });
  print(`Logged in to ${domain}; the credentials are in ${file}\n`);
}
