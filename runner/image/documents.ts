import { readWithin } from './layout.ts';
import { DOCUMENT_BYTES } from './limits.ts';
import { type Retained } from './retained.ts';

/** Manifests, indexes and configurations, each read once: thousands of entries may refer to the same. */
export class Documents {
  readonly #known = new Map<string, Buffer>();
  readonly #retained: Retained;

  constructor(retained: Retained) {
    this.#retained = retained;
  }

  read(path: string): Buffer {
    const known = this.#known.get(path);
    if (known !== undefined) return known;
    const document = readWithin(path, DOCUMENT_BYTES);
    this.#retained.add(document.length);
    this.#known.set(path, document);
    return document;
  }
}
