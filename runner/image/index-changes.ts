import { type CatalogEntry } from './catalog.ts';
import { nameOf, renamed, repoDigestsOf, withRepoDigests } from './entry-names.ts';
import { type JsonObject } from './json.ts';
import { type IndexEntry } from './layout.ts';
import { parseDescriptor } from './manifest.ts';

/** A manifest for the index, with the names that it is to take. */
export interface NewEntry {
  readonly names: readonly string[];
  /** What it was pulled by: `docker.io/library/debian@sha256:...`. */
  readonly repoDigests?: readonly string[];
  /** The descriptor, without a name. */
  readonly json: JsonObject;
}

function entryOf(json: JsonObject): IndexEntry {
  return { json, descriptor: parseDescriptor(json, 'an entry of the index') };
}

/** An entry of the index for each name; one without, where there is none. */
export function namedEntries({ names, repoDigests = [], json }: NewEntry): IndexEntry[] {
  const entry = entryOf(withRepoDigests(entryOf(json), repoDigests));
  return names.length === 0 ? [entry] : names.map((name) => named(entry, name));
}

/** The entry under another name. */
export function named(entry: IndexEntry, name: string): IndexEntry {
  return entryOf(renamed(entry, name));
}

/** The entries of an index, where those that have one of `taken` lose it. */
export function withoutNames(entries: readonly CatalogEntry[], taken: ReadonlySet<string>): IndexEntry[] {
  return entries.map((entry) => {
    const isNameless = entry.name === undefined || taken.has(entry.name);
    return isNameless ? entryOf(renamed(entry, undefined)) : entry;
  });
}

/**
 * The entries, each name of a manifest once; one without a name is only there for a manifest that has none. What the
 * others say of where it was pulled from goes over to those that stay.
 */
export function withoutSpares(entries: readonly IndexEntry[]): JsonObject[] {
  const origins = new Map<string, Set<string>>();
  const namedDigests = new Set<string>();
  for (const { descriptor } of entries) {
    const own = origins.get(descriptor.digest) ?? new Set();
    for (const origin of repoDigestsOf(descriptor)) own.add(origin);
    origins.set(descriptor.digest, own);
    if (nameOf(descriptor) !== undefined) namedDigests.add(descriptor.digest);
  }
  const seen = new Set<string>();
  const kept = entries.filter(({ descriptor }) => {
    const name = nameOf(descriptor);
    if (name === undefined && namedDigests.has(descriptor.digest)) return false;
    const key = `${descriptor.digest} ${name ?? ''}`;
    return !seen.has(key) && seen.add(key);
  });
  return kept.map((entry) => withRepoDigests(entry, [...(origins.get(entry.descriptor.digest) ?? [])]));
}
