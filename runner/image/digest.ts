import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';

/** `sha256:` and 64 lower-case hexadecimal digits, checked: it can be made part of a path. */
export type Digest = string & { readonly digest: unique symbol };

const FORM = /^sha256:[0-9a-f]{64}$/;

export function isDigest(text: string): text is Digest {
  return FORM.test(text);
}

/** @param what names the place of the digest, for the message. */
export function parseDigest(text: string, what: string): Digest {
  if (isDigest(text)) return text;
  throw new Error(`${what} is not a sha256 digest: ${JSON.stringify(text.slice(0, 100))}`);
}

/** The hexadecimal digits: the file name of a blob. */
export function hexOf(digest: Digest): string {
  return digest.slice('sha256:'.length);
}

export function digestOf(bytes: Uint8Array | string): Digest {
  return finishDigest(createHash('sha256').update(bytes));
}

/** Digest of a file of any size. */
export async function digestOfFile(path: string): Promise<Digest> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(path, { highWaterMark: 1 << 20 })) hash.update(chunk as Buffer);
  return finishDigest(hash);
}

export function finishDigest(hash: Hash): Digest {
  return `sha256:${hash.digest('hex')}` as Digest;
}

/**
 * Name of the stack of layers that ends with each: the OCI specification's ChainID.
 *
 * @param diffIds the bottom one first, and so is the answer.
 */
export function chainIdsOf(diffIds: readonly Digest[]): Digest[] {
  const chain: Digest[] = [];
  for (const diffId of diffIds) {
    const below = chain.at(-1);
    chain.push(below === undefined ? diffId : digestOf(`${below} ${diffId}`));
  }
  return chain;
}
