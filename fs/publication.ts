import type { Server } from 'node:net';
import { serveStats } from './control.ts';
import { Registration } from './registry.ts';
import type { NewMount } from './registry.ts';
import type { MountStats } from './stats.ts';

/** A mount's state file and control socket. */
export class Publication {
  readonly #registration: Registration;
  readonly #server: Server;

  private constructor(registration: Registration, server: Server) {
    this.#registration = registration;
    this.#server = server;
  }

  /** Undefined where there is no directory for it: the mount works without. */
  static async create(state: NewMount, stats: () => MountStats): Promise<Publication | undefined> {
    const registration = Registration.create(state);
    if (registration === undefined) return undefined;
    try {
      const server = await serveStats(registration.state.socket, stats);
      server.unref();
      return new Publication(registration, server);
    } catch (error) {
      registration.remove();
      throw error;
    }
  }

  withdraw(): void {
    this.#server.close();
    this.#registration.remove();
  }
}
