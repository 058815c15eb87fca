import { copyFileSync, cpSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, temporary } from './ground.ts';

/** A certificate with its key: paths of PEM files. */
export interface Certificate {
  readonly cert: string;
  readonly key: string;
}

/** An authority that openssl made, which nobody knows. */
export class Authority {
  readonly #base = temporary();
  readonly cert = join(this.#base, 'authority.crt');
  readonly #key = join(this.#base, 'authority.key');

  constructor() {
    const subject = ['-subj', '/CN=authority of a test', '-days', '2'];
    run('openssl', 'req', '-x509', ...this.#newKey(this.#key), ...subject, '-out', this.cert);
  }

  #newKey(path: string): string[] {
    return ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', path];
  }

  /** @param days how long it is valid; less than 0 for one that has expired. */
  issue(name: string, days = 2): Certificate {
    const at = (suffix: string): string => join(this.#base, `${name}${days}.${suffix}`);
    const subject = ['-subj', `/CN=${name}`, '-addext', `subjectAltName=DNS:${name}`];
    run('openssl', 'req', ...this.#newKey(at('key')), ...subject, '-out', at('csr'));
    const issuer = ['-CA', this.cert, '-CAkey', this.#key, '-CAcreateserial', '-copy_extensions', 'copy'];
    run('openssl', 'x509', '-req', '-in', at('csr'), ...issuer, '-days', String(days), '-out', at('crt'));
    return { cert: at('crt'), key: at('key') };
  }
}

/** An /etc of its own, in which names of hosts lead to this machine: what `prefix` runs has it. */
export class OtherEtc {
  readonly #base = temporary();

  constructor(...hosts: readonly string[]) {
    cpSync('/etc', this.path(''), { recursive: true, verbatimSymlinks: true });
    writeFileSync(this.path('hosts'), `127.0.0.1 localhost ${hosts.join(' ')}\n`);
    mkdirSync(this.home, { recursive: true });
  }

  /** What is at a path in it. */
  path(name: string): string {
    return join(this.#base, 'etc', name);
  }

  /** The home directory, empty but for certificates. */
  get home(): string {
    return join(this.#base, 'home');
  }

  get prefix(): readonly string[] {
    const script = 'mount --bind "$0" /etc && export HOME="$1" && shift && exec "$@"';
    return ['unshare', '--mount', 'sh', '-c', script, this.path(''), this.home];
  }
}

/** Puts the certificates for a host into a directory of theirs: an authority's, and one of our own. */
export function placeCertificates(directory: string, authority: string | undefined, client?: Certificate): void {
  rmSync(directory, { recursive: true, force: true });
  mkdirSync(directory, { recursive: true });
  if (authority !== undefined) copyFileSync(authority, join(directory, 'ca.crt'));
  if (client === undefined) return;
  copyFileSync(client.cert, join(directory, 'client.cert'));
  copyFileSync(client.key, join(directory, 'client.key'));
}
