import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { asObject, optionalObject, optionalString, optionalStringMap, parseJson } from '../json.ts';
import { readWithin } from '../layout.ts';
import { DOCUMENT_BYTES } from '../limits.ts';

export type Credentials =
  | { readonly username: string; readonly password: string }
  /** What docker login keeps of a registry with single sign-on: good for tokens alone. */
  | { readonly identityToken: string };

/** docker's own name for its hub in these files. */
const HUB_KEY = 'https://index.docker.io/v1/';
const HUB = 'docker.io';

/** Files that docker, podman and skopeo keep credentials in; the first that knows a registry counts. */
function authFiles(environment: NodeJS.ProcessEnv = process.env): string[] {
  const { REGISTRY_AUTH_FILE: chosen, DOCKER_CONFIG: docker, XDG_CONFIG_HOME: config } = environment;
  if (chosen) return [chosen];
  const home = environment['HOME'] ?? homedir();
  return [
    ownAuthFile(environment),
    join(config ?? join(home, '.config'), 'containers/auth.json'),
    join(docker ?? join(home, '.docker'), 'config.json'),
  ];
}

/** Where `login` writes: podman's place, which does not outlive the session. */
export function ownAuthFile(environment: NodeJS.ProcessEnv = process.env): string {
  const { REGISTRY_AUTH_FILE: chosen, XDG_RUNTIME_DIR: runtime } = environment;
  if (chosen) return chosen;
  if (runtime) return join(runtime, 'containers/auth.json');
  const uid = process.getuid?.() ?? 0;
  return uid === 0
    ? '/run/containers/0/auth.json'
    : join(environment['HOME'] ?? homedir(), '.config/containers/auth.json');
}

/** One of those files. */
export interface AuthFile {
  /** `user:password` in base64, or a token, by registry or repository. */
  readonly auths: Readonly<Record<string, unknown>>;
  /** Helper programs by registry, and the one for all others. */
  readonly helpers: Readonly<Record<string, string>>;
  readonly store: string;
}

export function readAuthFile(path: string): AuthFile | undefined {
  if (!existsSync(path)) return undefined;
  const file = asObject(parseJson(readWithin(path, DOCUMENT_BYTES), path), path);
  return {
    auths: optionalObject(file['auths'], `${path}: auths`),
    helpers: optionalStringMap(file['credHelpers'], `${path}: credHelpers`),
    store: optionalString(file['credsStore'], `${path}: credsStore`),
  };
}

/** What stands for those files among the credential helpers of registries.conf. */
export const FILES = 'containers-auth.json';

/** Who keeps credentials. */
interface Keepers {
  readonly files?: readonly string[] | undefined;
  /** In the order in which they are asked: names of helpers, and `FILES`. */
  readonly helpers?: readonly string[] | undefined;
}

/**
 * What this user has for a repository.
 *
 * @param domain `ghcr.io`, `localhost:5000`, `docker.io`.
 * @param path of the repository in it: containers-auth.json(5) may have credentials for a part of a registry.
 */
export async function findCredentials(
  domain: string,
  path: string,
  { files = authFiles(), helpers = [FILES] }: Keepers = {},
): Promise<Credentials | undefined> {
  const failures: unknown[] = [];
  for (const helper of helpers) {
    try {
      const found = helper === FILES ? await findInFiles(domain, path, files) : await askHelper(helper, domain);
      if (found !== undefined) return found;
    } catch (error) {
      // Another may have them.
      failures.push(error);
    }
  }
  if (failures.length > 0) throw failures[0];
  return undefined;
}

async function findInFiles(domain: string, path: string, files: readonly string[]): Promise<Credentials | undefined> {
  for (const file of files) {
    const known = readAuthFile(file);
    if (known === undefined) continue;
    const found = await findIn(known, domain, path, file);
    if (found !== undefined) return found;
  }
  return undefined;
}

async function findIn(file: AuthFile, domain: string, path: string, where: string): Promise<Credentials | undefined> {
  const keys = keysOf(domain, path);
  const helper = keys.map((key) => file.helpers[key]).find((name) => name !== undefined) ?? file.store;
  if (helper !== '') {
    const helped = await askHelper(helper, domain === HUB ? HUB_KEY : domain);
    if (helped !== undefined) return helped;
  }
  const key = keys.find((candidate) => Object.hasOwn(file.auths, candidate));
  return key === undefined ? undefined : readEntry(file.auths[key], `${where}: auths[${JSON.stringify(key)}]`);
}

/** Names under which such files have a registry, the most special first. */
export function keysOf(domain: string, path: string): string[] {
  const parts = path === '' ? [] : path.split('/');
  const special = parts.map((_, at) => `${domain}/${parts.slice(0, parts.length - at).join('/')}`);
  const general = [domain, `https://${domain}`, `https://${domain}/`, `https://${domain}/v1/`, `https://${domain}/v2/`];
  return [...special, ...general, ...(domain === HUB ? [HUB_KEY, 'index.docker.io', 'registry-1.docker.io'] : [])];
}

function readEntry(value: unknown, where: string): Credentials | undefined {
  const entry = asObject(value, where);
  const identityToken = optionalString(entry['identitytoken'], `${where}.identitytoken`);
  if (identityToken !== '') return { identityToken };
  const text = Buffer.from(optionalString(entry['auth'], `${where}.auth`), 'base64').toString('utf8');
  const colon = text.indexOf(':');
  // docker leaves an empty entry where a helper has the secret.
  if (text === '') return undefined;
  if (colon < 1) throw new Error(`${where}.auth is not user:password in base64`);
  return { username: text.slice(0, colon), password: text.slice(colon + 1) };
}

/** A user name that says that the secret is a token. */
const TOKEN_USER = '<token>';

async function askHelper(name: string, server: string): Promise<Credentials | undefined> {
  const output = await runHelper(name, 'get', server);
  if (output === undefined) return undefined;
  const where = `answer of docker-credential-${name}`;
  const answer = asObject(parseJson(Buffer.from(output), where), where);
  const username = optionalString(answer['Username'], `${where}: Username`);
  const secret = optionalString(answer['Secret'], `${where}: Secret`);
  return username === TOKEN_USER ? { identityToken: secret } : { username, password: secret };
}

/** Runs a credential helper; undefined where it knows nothing of the server. */
export async function runHelper(
  name: string,
  verb: 'get' | 'store' | 'erase',
  input: string,
): Promise<string | undefined> {
  if (!/^[A-Za-z0-9][A-Za-z0-9_.-]*$/.test(name)) {
    throw new Error(`${JSON.stringify(name)} is no name of a credential helper`);
  }
  const program = `docker-credential-${name}`;
  const done = await execa(program, [verb], { input, reject: false, timeout: 60_000, maxBuffer: DOCUMENT_BYTES });
  if (!done.failed) return done.stdout;
  const said = `${done.stdout}\n${done.stderr}`;
  if (done.exitCode !== undefined && /credentials not found/i.test(said)) return undefined;
  throw new Error(`cannot ${verb} credentials by ${program}: ${said.trim() || done.shortMessage}`);
}
