import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { basename, join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { readWithin } from '../layout.ts';
import { DOCUMENT_BYTES } from '../limits.ts';

/** A certificate by which we are known to a registry, with its key; both PEM. */
interface ClientCertificate {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** What containers-certs.d(5) has for one registry. */
export interface Certificates {
  /** Of authorities that are trusted beside the machine's, PEM. */
  readonly authorities: readonly Buffer[];
  readonly clients: readonly ClientCertificate[];
}

const NONE: Certificates = { authorities: [], clients: [] };

/**
 * Reads the certificates for a registry: of the first directory of its name that is there, podman's before docker's and the
 * user's before the machine's, or of the one that is chosen.
 *
 * @param domain `registry.example:5000`.
 * @throws where a file is not what its name says, or a certificate is without its key.
 */
export function readCertificates(
  domain: string,
  chosen: string | undefined,
  environment: NodeJS.ProcessEnv = process.env,
): Certificates {
  if (chosen !== undefined) return readDirectory(chosen);
  const home = environment['HOME'] ?? homedir();
  const user = environment['XDG_CONFIG_HOME'] || join(home, '.config');
  const parents = [join(user, 'containers'), join(user, 'docker'), '/etc/containers', '/etc/docker'];
  const directory = parents.map((parent) => join(parent, 'certs.d', domain)).find((path) => existsSync(path));
  return directory === undefined ? NONE : readDirectory(directory);
}

function readDirectory(directory: string): Certificates {
  const names = readdirSync(directory).sort();
  const paths = (suffix: string): string[] =>
    names.filter((name) => name.endsWith(suffix)).map((name) => join(directory, name));
  const keys = new Set(paths('.key'));
  const clients = paths('.cert').map((path) => {
    const key = path.replace(/cert$/, 'key');
    if (!keys.delete(key)) {
      throw new Error(
        `client certificate ${path} is without its key ${basename(key)}; that of an authority ends in .crt`,
      );
    }
    return { cert: readPem(path), key: readPem(key) };
  });
  const [alone] = keys;
  if (alone !== undefined) throw new Error(`key ${alone} is without its certificate: its name ends in .cert`);
  return { authorities: paths('.crt').map(readPem), clients };
}

function readPem(path: string): Buffer {
  const bytes = readWithin(path, DOCUMENT_BYTES);
  if (!bytes.includes('-----BEGIN ')) throw new Error(`${path} is not PEM`);
  return bytes;
}

/** Where distributions keep the certificates of the authorities that the machine trusts. */
const BUNDLES = [
  '/etc/ssl/certs/ca-certificates.crt',
  '/etc/pki/tls/certs/ca-bundle.crt',
  '/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem',
  '/etc/ssl/ca-bundle.pem',
  '/etc/ssl/cert.pem',
];

/**
 * Certificates of the authorities that this machine trusts, as for other programs: those of `SSL_CERT_FILE` and
 * `SSL_CERT_DIR`, else the distribution's, else Node's own; and those of `NODE_EXTRA_CA_CERTS`.
 */
export function machineAuthorities(environment: NodeJS.ProcessEnv = process.env): (Buffer | string)[] {
  const { SSL_CERT_FILE: file, SSL_CERT_DIR: directories, NODE_EXTRA_CA_CERTS: extra } = environment;
  const own = file || BUNDLES.find((path) => existsSync(path));
  const inDirectories = (directories ?? '').split(':').flatMap((directory) => filesIn(directory));
  const found = [own, ...inDirectories].flatMap((path) => (path === undefined ? [] : tryRead(path)));
  return [...(found.length === 0 ? rootCertificates : found), ...(extra ? tryRead(extra) : [])];
}

function filesIn(directory: string): string[] {
  if (directory === '') return [];
  try {
    return readdirSync(directory).map((name) => join(directory, name));
  } catch {
    // One of several that may be there.
    return [];
  }
}

function tryRead(path: string): Buffer[] {
  try {
    return [readFileSync(path)];
  } catch {
    // Not there, not readable, a directory: the others count.
    return [];
  }
}
