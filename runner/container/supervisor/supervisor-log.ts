import { appendFileSync } from 'node:fs';
import { join } from 'node:path';

/** What a supervisor without a terminal has to say of what goes wrong, in the container's directory. */
export class SupervisorLog {
  readonly #path: string;

  constructor(directory: string) {
    this.#path = join(directory, 'supervisor.log');
  }

  write(message: string): void {
    try {
      appendFileSync(this.#path, `${new Date().toISOString()} ${message}\n`, { mode: 0o600 });
    } catch {
      // The container is gone, or the disk is full: there is nobody else to tell.
    }
  }
}
