import { Command } from 'commander';
import { familiarHost } from './registry-host.ts';
import { FILES, ownAuthFile } from '../runner/image/registry/credentials.ts';
import { forgetCredentials, loggedInto, removeCredentials } from '../runner/image/registry/login.ts';
import { print } from './print.ts';
import { keepersOf } from './registry-flags.ts';

/** `lamina logout`. */
export function createCommand(): Command {
  return new Command('logout')
    .description('Forget the credentials for a registry.')
    .argument('[registry]', 'host, with a port where it has one', 'docker.io')
    .option('-a, --all', 'those for all registries')
    .option('--authfile <file>', 'where they are (default: where login keeps them)')
    .action(async (host: string, { all, authfile }: { readonly all?: true; readonly authfile?: string }) => {
      if (all === true) {
        await logoutAll(authfile ?? ownAuthFile());
        return;
      }
      const domain = familiarHost(host);
      const file = authfile ?? ownAuthFile();
      const { helpers = [FILES] } = keepersOf(authfile);
      if (!(await forgetCredentials(file, helpers, domain)))
        throw new Error(`not logged in to ${domain}: ${file} has nothing for it`);
      print(`Removed the credentials for ${domain}\n`);
    });
}

async function logoutAll(file: string): Promise<void> {
  for (const registry of loggedInto(file)) await removeCredentials(file, registry);
  print(`Removed all credentials of ${file}\n`);
}
