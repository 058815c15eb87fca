import { chainIdsOf, type Digest, isDigest } from './digest.ts';
import { isObject, type JsonObject, parseJson } from './json.ts';
import { type ImageLayout } from './layout.ts';
import { DOCUMENT_BYTES } from './limits.ts';
import { type Descriptor, isIndexType, isManifestType, parseConfiguration } from './manifest.ts';

/** All that entries of the index need. */
export interface Reached {
  readonly blobs: ReadonlySet<Digest>;
  readonly chainIds: ReadonlySet<Digest>;
  /** Documents of which it cannot be said what they refer to. */
  readonly damaged: readonly Digest[];
}

/**
 * Follows every reference from entries of the index, also through indexes, and through documents of kinds that are not
 * known here: whatever is called a digest in one of them is kept.
 */
export function reach(layout: ImageLayout, entries: readonly Descriptor[]): Reached {
  const reacher = new Reacher(layout);
  for (const { digest, mediaType } of entries) reacher.follow(digest, mediaType);
  return reacher;
}

class Reacher implements Reached {
  readonly blobs = new Set<Digest>();
  readonly chainIds = new Set<Digest>();
  readonly damaged: Digest[] = [];
  readonly #layout: ImageLayout;

  constructor(layout: ImageLayout) {
    this.#layout = layout;
  }

  follow(digest: Digest, mediaType: string): void {
    if (this.blobs.has(digest)) return;
    this.blobs.add(digest);
    if (!this.#layout.has(digest)) return;
    if (isIndexType(mediaType) || isManifestType(mediaType)) this.#followDocument(digest);
  }

  #followDocument(digest: Digest): void {
    const document = this.#read(digest);
    // By list and not by recursion: a hostile document can be nested deeply.
    const waiting: object[] = typeof document === 'object' && document !== null ? [document] : [];
    for (let value = waiting.pop(); value !== undefined; value = waiting.pop()) {
      for (const member of Object.values(value) as unknown[]) {
        if (typeof member === 'object' && member !== null) waiting.push(member);
      }
      if (isObject(value)) this.#followDescriptor(value);
    }
    if (isObject(document) && isObject(document['config'])) this.#followConfig(document['config']['digest']);
  }

  #followDescriptor({ digest, mediaType }: JsonObject): void {
    if (typeof digest === 'string' && isDigest(digest)) this.follow(digest, String(mediaType));
  }

  #followConfig(digest: unknown): void {
    if (typeof digest !== 'string' || !isDigest(digest)) return;
    // What is larger is an artifact's, and no image's.
    if ((this.#layout.sizeOf(digest) ?? Infinity) > DOCUMENT_BYTES) return;
    const bytes = this.#readBytes(digest);
    if (bytes === undefined) return;
    try {
      for (const chainId of chainIdsOf(parseConfiguration(bytes, digest).diffIds)) this.chainIds.add(chainId);
    } catch {
      // Of an artifact that is no image: it has no layers to unpack.
    }
  }

  #read(digest: Digest): unknown {
    const bytes = this.#readBytes(digest);
    if (bytes === undefined) return undefined;
    try {
      return parseJson(bytes, digest);
    } catch {
      // What its digest vouches for, and is no JSON, refers to nothing.
      return undefined;
    }
  }

  #readBytes(digest: Digest): Buffer | undefined {
    try {
      return this.#layout.readDocument(digest);
    } catch {
      this.damaged.push(digest);
      return undefined;
    }
  }
}
