import { type Catalog, type CatalogEntry } from './catalog.ts';
import { renamed } from './entry-names.ts';
import { type Hold } from './holds.ts';
import { type Image } from './image.ts';
import { type JsonObject } from './json.ts';
import { familiarName, familiarParts, familiarRepoDigest } from './reference.ts';

/** How an index changes where an image, or a name of one, is removed. */
export interface Removal {
  /** All entries that stay. */
  readonly kept: readonly JsonObject[];
  readonly going: readonly CatalogEntry[];
  /** Names and repository digests that go, as docker shows them. */
  readonly untagged: readonly string[];
  /** The image, where nothing of it stays. */
  readonly image: Image | undefined;
}

/**
 * Which entries of the index go with what a reference means, by docker's rules.
 *
 * @param holds of all containers.
 * @throws where the image is in use, or is not only what the reference names.
 */
export function planRemoval(catalog: Catalog, holds: readonly Hold[], reference: string, force: boolean): Removal {
  const { entries, image, byId } = catalog.select(reference);
  const all = image === undefined ? entries : catalog.entriesOf(image);
  const isLast = byId || all.every((entry) => entry.name === undefined || isOf(entries, entry));
  // One without a name goes with the last that has one.
  const going = isLast ? all : entries;
  if (byId && !force) checkOneRepository(reference, going);
  const holder = isLast ? holds.find((hold) => hold.image === image?.id)?.holder : undefined;
  const isNamed = going.some(({ name }) => name !== undefined);
  if (holder !== undefined && !(force && isNamed)) {
    throw new Error(
      `cannot remove image ${reference}: container ${holder.slice(0, 12)} uses it; "lamina rm ${holder.slice(0, 12)}" first`,
    );
  }
  const kept = catalog.entries().filter((entry) => !isOf(going, entry));
  const [first] = holder === undefined ? [] : going;
  return {
    // What a container uses stays whole, without a name.
    kept: [...kept.map(({ json }) => json), ...(first === undefined ? [] : [renamed(first, undefined)])],
    going,
    untagged: untaggedOf(going, kept),
    image: isLast && holder === undefined ? image : undefined,
  };
}

function isOf(entries: readonly CatalogEntry[], { descriptor, name }: CatalogEntry): boolean {
  return entries.some((other) => other.descriptor.digest === descriptor.digest && other.name === name);
}

function untaggedOf(going: readonly CatalogEntry[], kept: readonly CatalogEntry[]): string[] {
  const staying = new Set(kept.flatMap(({ repoDigests }) => repoDigests));
  const names = going.flatMap(({ name }) => (name === undefined ? [] : familiarName(name)));
  const pulled = going.flatMap(({ repoDigests }) => repoDigests).filter((origin) => !staying.has(origin));
  return [...new Set([...names, ...pulled.map(familiarRepoDigest)])];
}

function checkOneRepository(reference: string, entries: readonly CatalogEntry[]): void {
  const names = entries.flatMap(({ name }) => name ?? []);
  const repositories = new Set(names.map((name) => familiarParts(name).repository));
  if (repositories.size <= 1) return;
  throw new Error(
    `cannot remove image ${reference} by its id: it has names in several repositories, ${names.map(familiarName).join(', ')}; remove them one by one, or all by --force`,
  );
}
