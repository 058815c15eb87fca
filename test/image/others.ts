import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { onTestFinished } from 'vitest';
import { type DockerRegistry, USER } from './docker-registry.ts';
import { run, snapshot, temporary } from './ground.ts';

/** Without the root's own line: containers/storage does not take what layers say of it. */
export function belowRoot(lines: readonly string[]): string[] {
  return lines.filter((line) => !line.startsWith('. '));
}

/** The three others, each with a store of its own. */
export class Others {
  readonly #base = temporary();
  readonly #auth: string;

  constructor({ host }: DockerRegistry) {
    this.#auth = join(this.#base, 'auth.json');
    const auth = Buffer.from(`${USER.name}:${USER.password}`).toString('base64');
    writeFileSync(this.#auth, JSON.stringify({ auths: { [host]: { auth } } }));
    // containers/storage makes a mount of its directory, and leaves it.
    onTestFinished(() => {
      const mounts = readFileSync('/proc/mounts', 'utf8')
        .split('\n')
        .map((line) => line.split(' ')[1] ?? '');
      const own = mounts.filter((path) => path.startsWith(`${this.#base}/`));
      for (const path of own.sort().reverse()) run('umount', path);
    });
  }

  #run(...command: readonly [string, ...string[]]): string {
    return run('env', `REGISTRY_AUTH_FILE=${this.#auth}`, ...command);
  }

  #storage(): string[] {
    const at = (name: string): string => join(this.#base, name);
    return ['--root', at('root'), '--runroot', at('run'), '--storage-driver', 'overlay'];
  }

  podman(...args: readonly string[]): string {
    return this.#run('podman', ...this.#storage(), '--events-backend', 'file', ...args).trim();
  }

  buildah(...args: readonly string[]): string {
    return this.#run('buildah', ...this.#storage(), ...args).trim();
  }

  skopeo(...args: readonly string[]): string {
    return this.#run('skopeo', ...args).trim();
  }

  digest(name: string): string {
    return (JSON.parse(this.skopeo('inspect', '--tls-verify=false', `docker://${name}`)) as { Digest: string }).Digest;
  }

  /** What podman makes of an image. */
  podmanTree(name: string): string[] {
    this.podman('pull', '--quiet', '--tls-verify=false', name);
    const mountpoint = this.podman('image', 'mount', name);
    try {
      return belowRoot(snapshot(mountpoint));
    } finally {
      this.podman('image', 'umount', name);
    }
  }

  buildahTree(name: string): string[] {
    const container = this.buildah('from', '--quiet', '--pull-always', '--tls-verify=false', name);
    try {
      return belowRoot(snapshot(this.buildah('mount', container)));
    } finally {
      this.buildah('rm', container);
    }
  }

  /** What umoci unpacks of what skopeo has copied. */
  skopeoTree(name: string): string[] {
    const directory = join(this.#base, String(Math.random()).slice(2));
    mkdirSync(directory);
    this.skopeo('copy', '--src-tls-verify=false', `docker://${name}`, `oci:${directory}/oci:x`);
    run('umoci', 'unpack', '--image', `${directory}/oci:x`, `${directory}/bundle`);
    return belowRoot(snapshot(`${directory}/bundle/rootfs`));
  }
}
