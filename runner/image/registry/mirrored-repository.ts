import { type Digest } from '../digest.ts';
import { type Registry, type RemoteDocument } from './registry.ts';
import { type Repository, type WrongBytes } from './repository.ts';
import { type HttpResponse } from './transport.ts';

/**
 * A repository with mirrors. The first that has the manifest is asked for all else; where it fails, the next is. What
 * they give is held to its digest like all else that comes from registries.
 */
export class MirroredRepository implements Repository {
  readonly #registries: readonly Registry[];
  readonly #report: (message: string) => void;
  #lead = 0;

  /**
   * @param registries mirrors first, the registry itself last.
   * @param report is told of mirrors that fail.
   */
  constructor(registries: readonly Registry[], report: (message: string) => void) {
    this.#registries = registries;
    this.#report = report;
  }

  document(target: string): Promise<RemoteDocument> {
    return this.#ask((registry) => registry.document(target));
  }

  tags(): Promise<string[]> {
    // A mirror may have some alone.
    return this.#last().tags();
  }

  blob(digest: Digest, offset: number): Promise<HttpResponse> {
    return this.#ask((registry) => registry.blob(digest, offset));
  }

  foreignBlob(url: string, offset: number): Promise<HttpResponse> {
    return this.#last().foreignBlob(url, offset);
  }

  async #ask<T>(question: (registry: Registry) => Promise<T>): Promise<T> {
    for (;;) {
      const at = this.#lead;
      const registry = this.#registries[at];
      if (registry === undefined) throw new Error('no registry is left to be asked');
      try {
        return await question(registry);
      } catch (error) {
        if (at === this.#registries.length - 1) throw error;
        this.#giveUp(at, error);
      }
    }
  }

  distrust(error: WrongBytes): void {
    if (this.#lead < this.#registries.length - 1) this.#giveUp(this.#lead, error);
  }

  /** Several downloads may find at once that a mirror fails. */
  #giveUp(at: number, error: unknown): void {
    if (this.#lead !== at) return;
    this.#lead = at + 1;
    const why = error instanceof Error ? error.message : String(error);
    this.#report(`mirror ${this.#registries[at]?.host ?? ''} fails, the next is asked: ${why}`);
  }

  #last(): Registry {
    const last = this.#registries.at(-1);
    if (last === undefined) throw new Error('there is no registry to be asked');
    return last;
  }

  wait(attempt: number): Promise<void> {
    return this.#last().wait(attempt);
  }

  async close(): Promise<void> {
    await Promise.all(this.#registries.map((registry) => registry.close()));
  }
}
