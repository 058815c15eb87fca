import { chmodSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { randomBytes } from 'node:crypto';
import { dirname } from 'node:path';
import { writeDurably } from '../durable-file.ts';
import { asObject, type JsonObject, optionalObject, parseJson } from '../json.ts';
import { type Credentials, FILES, keysOf, readAuthFile, runHelper } from './credentials.ts';

type Password = Extract<Credentials, { readonly username: string }>;

/**
 * Keeps credentials with the first of the credential helpers of registries.conf that takes them.
 *
 * @param path of the file, which counts as one of them.
 * @returns what has them: the path, or the helper's program.
 */
export async function keepCredentials(
  path: string,
  helpers: readonly string[],
  domain: string,
  password: Password,
): Promise<string> {
  const failures: string[] = [];
  for (const helper of helpers) {
    try {
      if (helper === FILES) await saveCredentials(path, domain, password);
      else await storeWith(helper, domain, password);
      return helper === FILES ? path : `docker-credential-${helper}`;
    } catch (error) {
      failures.push(error instanceof Error ? error.message : String(error));
    }
  }
  throw new Error(`the credentials cannot be kept: ${failures.join('; ')}`);
}

async function storeWith(helper: string, domain: string, { username, password }: Password): Promise<void> {
  await runHelper(helper, 'store', JSON.stringify({ ServerURL: domain, Username: username, Secret: password }));
}

/** Keeps credentials for a registry in a file as podman and docker do, or with the helper that the file names. */
export async function saveCredentials(path: string, domain: string, { username, password }: Password): Promise<void> {
  const known = readAuthFile(path);
  const helper = known?.helpers[domain] ?? known?.store ?? '';
  if (helper !== '') {
    await storeWith(helper, domain, { username, password });
    return;
  }
  const auth = Buffer.from(`${username}:${password}`).toString('base64');
  rewrite(path, (auths) => ({ ...auths, [domain]: { auth } }));
}

/** Forgets the credentials for a registry; answers whether there were any. */
export async function removeCredentials(path: string, domain: string): Promise<boolean> {
  const known = readAuthFile(path);
  if (known === undefined) return false;
  const helper = known.helpers[domain] ?? known.store;
  if (helper !== '') await runHelper(helper, 'erase', domain);
  const keys = new Set(keysOf(domain, ''));
  const found = Object.keys(known.auths).some((key) => keys.has(key));
  if (found) rewrite(path, (auths) => Object.fromEntries(Object.entries(auths).filter(([key]) => !keys.has(key))));
  return found || helper !== '';
}

/** As `removeCredentials`, from the credential helpers of registries.conf, too. */
export async function forgetCredentials(path: string, helpers: readonly string[], domain: string): Promise<boolean> {
  let found = false;
  for (const helper of helpers) {
    if (helper === FILES) found = (await removeCredentials(path, domain)) || found;
    else found = (await runHelper(helper, 'erase', domain)) !== undefined || found;
  }
  return found;
}

/** Registries and repositories that a file has credentials for. */
export function loggedInto(path: string): string[] {
  const known = readAuthFile(path);
  return known === undefined ? [] : [...new Set([...Object.keys(known.auths), ...Object.keys(known.helpers)])];
}

/** Changes `auths`; all else that others keep in the file stays. The commit is one rename. */
function rewrite(path: string, change: (auths: JsonObject) => JsonObject): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const file = existsSync(path) ? asObject(parseJson(readFileSync(path), path), path) : {};
  const auths = change(optionalObject(file['auths'], `${path}: auths`));
  writeDurably(path, `${JSON.stringify({ ...file, auths }, null, 2)}\n`, `${path}.${randomBytes(6).toString('hex')}`);
  chmodSync(path, 0o600);
}
