import { type Descriptor } from './manifest.ts';
import { type IndexEntry } from './layout.ts';
import { type JsonObject } from './json.ts';
import { fullName, parseReference } from './reference.ts';

/** Annotation under which an OCI layout's index keeps a manifest's name. */
export const REF_NAME = 'org.opencontainers.image.ref.name';
/** Annotation of ours: `REPOSITORY@DIGEST` as the manifest was pulled by, several with commas between them. */
const REPO_DIGESTS = 'io.laminafs.repo-digests';

const REPO_DIGEST = /^[^\s,@]+@sha256:[0-9a-f]{64}$/;

/** The full name of an index's entry. skopeo and umoci write what their user typed: `v1`, `debian:12`. */
export function nameOf({ annotations }: Descriptor): string | undefined {
  const written = annotations[REF_NAME];
  return written === undefined ? undefined : normalName(written);
}

/** A name in full; what could be no image's name in a registry stays as it is. */
export function normalName(written: string): string {
  try {
    const reference = parseReference(written);
    return reference.digest === undefined ? fullName(reference) : written;
  } catch {
    return written;
  }
}

/** What the manifest was pulled by: `docker.io/library/debian@sha256:...`. */
export function repoDigestsOf({ annotations }: Descriptor): string[] {
  return (annotations[REPO_DIGESTS] ?? '').split(',').filter((text) => REPO_DIGEST.test(text));
}

/** The entry under another name, or none, with all else that it has. */
export function renamed({ descriptor, json }: IndexEntry, name: string | undefined): JsonObject {
  const others = Object.entries(descriptor.annotations).filter(([key]) => key !== REF_NAME);
  return annotated(json, Object.fromEntries(name === undefined ? others : [...others, [REF_NAME, name]]));
}

/** The entry with these origins besides its own. */
export function withRepoDigests({ descriptor, json }: IndexEntry, added: readonly string[]): JsonObject {
  if (added.length === 0) return json;
  const all = new Set([...repoDigestsOf(descriptor), ...added]);
  return annotated(json, { ...descriptor.annotations, [REPO_DIGESTS]: [...all].join(',') });
}

function annotated(json: JsonObject, annotations: Readonly<Record<string, string>>): JsonObject {
  const others = Object.fromEntries(Object.entries(json).filter(([key]) => key !== 'annotations'));
  return Object.keys(annotations).length === 0 ? others : { ...others, annotations };
}
