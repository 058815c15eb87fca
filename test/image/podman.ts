import { join } from 'node:path';

import { run, temporary } from './ground.ts';

/** podman with a store of its own, which needs no mounts: gone with the test. */
export class Podman {
  readonly #base = temporary();

  call(...args: readonly string[]): string {
    return this.callIn(this.#base, ...args);
  }

  /** @param directory the working directory. */
  callIn(directory: string, ...args: readonly string[]): string {
    const own = ['--root', this.#at('root'), '--runroot', this.#at('run')];
    const storage = ['--storage-driver', 'vfs', '--events-backend', 'file'];
    return run('sh', '-c', 'cd "$0" && exec podman "$@"', directory, ...own, ...storage, ...args);
  }

  #at(name: string): string {
    return join(this.#base, name);
  }

  /** Full names of all images, sorted, each with its id. */
  images(): string[] {
    const lines = this.call('images', '--no-trunc', '--format', '{{.Repository}}:{{.Tag}} sha256:{{.Id}}').trim();
    return lines === '' ? [] : lines.split('\n').sort();
  }
}
