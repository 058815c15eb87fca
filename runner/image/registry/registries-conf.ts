import { existsSync, readdirSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'smol-toml';
import { isRootless } from '../../container/userns.ts';
import {
  asArray,
  asObject,
  asString,
  type JsonObject,
  optionalObject,
  optionalString,
  optionalStrings,
} from '../json.ts';
import { readWithin } from '../layout.ts';
import { DOCUMENT_BYTES } from '../limits.ts';

/** Where a mirror is. */
interface Mirror {
  /** A registry, perhaps with the beginning of a path. */
  readonly location: string;
  /** Whether it need not have a certificate that is vouched for, nor TLS. */
  readonly insecure: boolean;
  readonly use: MirrorUse;
}

/** Which references a mirror is asked for: by tag, by digest, or either. */
type MirrorUse = 'all' | 'digest-only' | 'tag-only';

/** What is said of all references that begin with a prefix. */
export interface RegistryRule {
  readonly prefix: string;
  /** Takes the prefix's place; empty to leave it. */
  readonly location: string;
  readonly insecure: boolean;
  readonly blocked: boolean;
  readonly mirrors: readonly Mirror[];
}

/** What containers-registries.conf(5) says on this machine. */
export interface RegistriesConf {
  readonly rules: readonly RegistryRule[];
  /** Full names by short ones. */
  readonly aliases: ReadonlyMap<string, string>;
  /** Where credentials are looked for, in this order; undefined where nothing is said of it. */
  readonly credentialHelpers: readonly string[] | undefined;
  /** Registries for names without one; undefined where nothing is said of it. */
  readonly searched: readonly string[] | undefined;
}

/** The files, the later over the earlier: one main file, the user's or the system's, then all drop-ins. */
function configurationFiles(environment: NodeJS.ProcessEnv): string[] {
  const { CONTAINERS_REGISTRIES_CONF: chosen, XDG_CONFIG_HOME: config } = environment;
  const user = join(config || join(environment['HOME'] ?? homedir(), '.config'), 'containers');
  // Whoever names a file means that file: what the machine has besides does not count.
  if (chosen) return [chosen];
  const main = [join(user, 'registries.conf'), '/etc/containers/registries.conf'].filter((path) => existsSync(path));
  const directories = ['/etc/containers/registries.conf.d', join(user, 'registries.conf.d')];
  return [...main.slice(0, 1), ...directories.flatMap(dropIns)];
}

function dropIns(directory: string): string[] {
  if (!existsSync(directory)) return [];
  const names = readdirSync(directory).filter((name) => name.endsWith('.conf'));
  return names.sort().map((name) => join(directory, name));
}

/** Where podman keeps what its user has chosen for short names: in the form of the files above, and over them. */
function aliasCache(environment: NodeJS.ProcessEnv): string {
  const { XDG_CACHE_HOME: cache, HOME: home } = environment;
  const parent = isRootless() ? cache || join(home ?? homedir(), '.cache') : '/var/cache';
  return join(parent, 'containers/short-name-aliases.conf');
}

/** @param chosenAliases a file of aliases that has the last word, if it is there. */
export function readRegistriesConf(
  environment: NodeJS.ProcessEnv = process.env,
  chosenAliases = aliasCache(environment),
): RegistriesConf {
  const rules = new Map<string, RegistryRule>();
  const aliases = new Map<string, string>();
  let searched: readonly string[] | undefined;
  let credentialHelpers: readonly string[] | undefined;
  for (const path of configurationFiles(environment)) {
    const file = readFile(path);
    for (const rule of file.rules) rules.set(rule.prefix, rule);
    for (const [name, value] of file.aliases) setAlias(aliases, name, value);
    searched = file.searched ?? searched;
    credentialHelpers = file.credentialHelpers ?? credentialHelpers;
  }
  if (!environment['CONTAINERS_REGISTRIES_CONF'] && existsSync(chosenAliases)) {
    for (const [name, value] of readFile(chosenAliases).aliases) setAlias(aliases, name, value);
  }
  return { rules: [...rules.values()], aliases, credentialHelpers, searched };
}

/** An alias for nothing takes away what an earlier file has said. */
function setAlias(aliases: Map<string, string>, name: string, value: string): void {
  if (value === '') aliases.delete(name);
  else aliases.set(name, value);
}

function readFile(path: string): RegistriesConf {
  const document = parseToml(path);
  if (document['registries'] !== undefined) {
    throw new Error(
      `${path} is in version 1 of its format: write [[registry]] tables and unqualified-search-registries`,
    );
  }
  const where = (name: string): string => `${path}: ${name}`;
  const registries = asArray(document['registry'] ?? [], where('registry'));
  const aliases = Object.entries(optionalObject(document['aliases'], where('aliases')));
  const helpers = document['credential-helpers'];
  const searched = document['unqualified-search-registries'];
  return {
    rules: registries.map((item, at) => parseRule(item, where(`registry[${at}]`))),
    aliases: new Map(aliases.map(([name, value]) => [name, asString(value, where(`aliases.${name}`))])),
    credentialHelpers: helpers === undefined ? undefined : optionalStrings(helpers, where('credential-helpers')),
    searched: searched === undefined ? undefined : optionalStrings(searched, where('unqualified-search-registries')),
  };
}

function parseToml(path: string): JsonObject {
  const text = readWithin(path, DOCUMENT_BYTES).toString('utf8');
  try {
    return asObject(parse(text), path);
  } catch (error) {
    // The rest of it shows the lines.
    const [reason = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
    throw new Error(`${path} is not TOML: ${reason}`, { cause: error });
  }
}

function parseRule(value: unknown, where: string): RegistryRule {
  const rule = asObject(value, where);
  const location = trimmed(optionalString(rule['location'], `${where}.location`));
  const prefix = trimmed(optionalString(rule['prefix'], `${where}.prefix`)) || location;
  if (prefix === '') throw new Error(`${where} has neither a prefix nor a location`);
  if (location === '' && !prefix.startsWith('*.')) throw new Error(`${where} has no location`);
  const byDigest = optionalBoolean(rule['mirror-by-digest-only'], `${where}.mirror-by-digest-only`);
  const mirrors = asArray(rule['mirror'] ?? [], `${where}.mirror`);
  return {
    prefix,
    location,
    insecure: optionalBoolean(rule['insecure'], `${where}.insecure`),
    blocked: optionalBoolean(rule['blocked'], `${where}.blocked`),
    mirrors: mirrors.map((item, at) => parseMirror(item, byDigest, `${where}.mirror[${at}]`)),
  };
}

function parseMirror(value: unknown, byDigest: boolean, where: string): Mirror {
  const mirror = asObject(value, where);
  const use = optionalString(mirror['pull-from-mirror'], `${where}.pull-from-mirror`) || 'all';
  if (use !== 'all' && use !== 'digest-only' && use !== 'tag-only') {
    throw new Error(`${where}.pull-from-mirror is none of all, digest-only and tag-only`);
  }
  return {
    location: trimmed(asString(mirror['location'], `${where}.location`)),
    insecure: optionalBoolean(mirror['insecure'], `${where}.insecure`),
    use: byDigest ? 'digest-only' : use,
  };
}

function trimmed(location: string): string {
  return location.replace(/\/+$/, '');
}

function optionalBoolean(value: unknown, where: string): boolean {
  if (value === undefined) return false;
  if (typeof value !== 'boolean') throw new Error(`${where} is neither true nor false`);
  return value;
}
