import { type Digest, isDigest } from './digest.ts';

/** A name as docker writes it, in full: `docker.io/library/debian:latest`. */
export interface Reference {
  readonly domain: string;
  readonly path: string;
  /** Empty where the reference has a digest and no tag. */
  readonly tag: string;
  readonly digest: Digest | undefined;
}

const DEFAULT_DOMAIN = 'docker.io';
const OFFICIAL = 'library/';

const DOMAIN =
  /^(?:(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])(?:\.(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9]))*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?$/;
const COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const TAG = /^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$/;
const LONGEST_NAME = 255;

/** Reads `debian`, `ghcr.io/a/b:tag`, `debian@sha256:...`; a name without tag and digest means `latest`. */
export function parseReference(text: string): Reference {
  const refuse = (why: string): Error =>
    new Error(`image name ${JSON.stringify(text.slice(0, 300))} is not valid: ${why}`);
  if (text === '') throw refuse('it is empty');
  const [rest, digest] = splitDigest(text, refuse);
  const [name, tag] = splitTag(rest);
  if (tag !== undefined && !TAG.test(tag)) throw refuse('a tag is letters, digits, `_`, `.` and `-`, 128 at most');
  const [domain, path] = splitDomain(name);
  if (!DOMAIN.test(domain)) throw refuse(`${JSON.stringify(domain)} is not a registry's host name`);
  for (const component of path.split('/')) {
    if (!COMPONENT.test(component))
      throw refuse('a repository is lower-case letters and digits, joined by `/`, `.`, `_` or `-`');
  }
  if (domain.length + 1 + path.length > LONGEST_NAME) throw refuse(`it is longer than ${LONGEST_NAME} characters`);
  return { domain, path, tag: tag ?? (digest === undefined ? 'latest' : ''), digest };
}

function splitDigest(text: string, refuse: (why: string) => Error): [string, Digest | undefined] {
  const at = text.indexOf('@');
  if (at < 0) return [text, undefined];
  const digest = text.slice(at + 1);
  if (!isDigest(digest)) throw refuse('what follows `@` must be sha256: and 64 hexadecimal digits');
  return [text.slice(0, at), digest];
}

// A colon before the last slash is a port's.
function splitTag(text: string): [string, string | undefined] {
  const colon = text.lastIndexOf(':');
  return colon <= text.lastIndexOf('/') ? [text, undefined] : [text.slice(0, colon), text.slice(colon + 1)];
}

/** Whether a name says which registry it is of: docker's rule, a dot, a colon or an upper-case letter, or localhost. */
export function hasDomain(name: string): boolean {
  const first = name.slice(0, Math.max(name.indexOf('/'), 0));
  return /[.:A-Z]/.test(first) || first === 'localhost';
}

function splitDomain(name: string): [string, string] {
  const slash = name.indexOf('/');
  const first = name.slice(0, Math.max(slash, 0));
  const isHost = hasDomain(name);
  const domain = isHost ? first : DEFAULT_DOMAIN;
  const path = isHost ? name.slice(slash + 1) : name;
  if (domain === 'index.docker.io') return [DEFAULT_DOMAIN, official(path)];
  return [domain, domain === DEFAULT_DOMAIN ? official(path) : path];
}

function official(path: string): string {
  return path.includes('/') ? path : OFFICIAL + path;
}

/** Domain and path: `docker.io/library/debian`. */
export function repositoryOf(reference: Reference): string {
  return `${reference.domain}/${reference.path}`;
}

/** `docker.io/library/debian:latest`: what the store keeps. */
export function fullName(reference: Reference): string {
  return `${repositoryOf(reference)}:${reference.tag}`;
}

/** Repository and tag of a full name, as docker shows them: without `docker.io/` and `library/`. */
export function familiarParts(name: string): { readonly repository: string; readonly tag: string } {
  const [full, tag = ''] = splitTag(name);
  const hub = full.startsWith(`${DEFAULT_DOMAIN}/`) ? full.slice(DEFAULT_DOMAIN.length + 1) : full;
  const short = hub !== full && hub.startsWith(OFFICIAL) ? hub.slice(OFFICIAL.length) : hub;
  return { repository: short.includes('/') || hub !== full ? short : full, tag };
}

/** `docker.io/library/debian:latest` -> `debian:latest`. */
export function familiarName(name: string): string {
  const { repository, tag } = familiarParts(name);
  return `${repository}:${tag}`;
}

/** `docker.io/library/debian@sha256:...` -> `debian@sha256:...`. */
export function familiarRepoDigest(repoDigest: string): string {
  const at = repoDigest.indexOf('@');
  return familiarParts(repoDigest.slice(0, at)).repository + repoDigest.slice(at);
}
