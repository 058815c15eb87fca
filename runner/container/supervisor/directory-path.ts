import { closeSync, openSync } from 'node:fs';

/** Short paths of what is in a directory: the address of a UNIX socket holds 107 bytes, and a store may lie deep. */
export class DirectoryPath {
  readonly #fd: number;

  constructor(directory: string) {
    this.#fd = openSync(directory, 'r');
  }

  of(name: string): string {
    return `/proc/self/fd/${this.#fd}/${name}`;
  }

  close(): void {
    closeSync(this.#fd);
  }
}
