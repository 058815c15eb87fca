import { closeSync, openSync, readSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Volume } from './spec.ts';

const LARGEST = 1 << 20;

const LOOPBACK_HOSTS = '127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n';

/** What is to stand in a container's /etc/hosts, /etc/hostname and /etc/resolv.conf. */
export interface LiveFileOptions {
  readonly hostname: string;
  /** The container has the host's network, so the host's names are good in it too. */
  readonly hostNetwork: boolean;
}

/** Writes the files that the container sees and can change, beside its upper; docker does not show them in diff. */
export function writeLiveFiles(directory: string, { hostname, hostNetwork }: LiveFileOptions): void {
  const inherited = hostNetwork ? readHostFile('/etc/hosts') : '';
  const hosts = inherited === '' ? LOOPBACK_HOSTS : inherited.endsWith('\n') ? inherited : `${inherited}\n`;
  writeLiveFile(directory, 'hosts', `${hosts}127.0.1.1\t${hostname}\n`);
  writeLiveFile(directory, 'hostname', `${hostname}\n`);
  writeLiveFile(directory, 'resolv.conf', hostNetwork ? readHostFile('/etc/resolv.conf') : '');
}

function writeLiveFile(directory: string, name: string, content: string): void {
  writeFileSync(join(directory, name), content, { mode: 0o644 });
}

/** The mounts that put these files into the container. */
export function liveFileVolumes(directory: string): Volume[] {
  return ['hosts', 'hostname', 'resolv.conf'].map((name) => ({
    source: join(directory, name),
    destination: `/etc/${name}`,
    readOnly: false,
  }));
}

/** Text of a file of the host, cut at a sane size; empty where there is none. */
function readHostFile(path: string): string {
  try {
    const fd = openSync(path, 'r');
    try {
      const buffer = Buffer.alloc(LARGEST);
      return buffer.toString('utf8', 0, readSync(fd, buffer));
    } finally {
      closeSync(fd);
    }
  } catch {
    return '';
  }
}
