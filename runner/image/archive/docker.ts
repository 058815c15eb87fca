import { type Digest, hexOf } from '../digest.ts';
import { type JsonObject } from '../json.ts';
import { type Store } from '../store.ts';
import { type ArchiveFiles, documentFile } from './files.ts';
import { type PlainLayer, PlainLayers } from './plain-layers.ts';
import { type SavedImage } from './saved-image.ts';

/** The files of a docker-archive, as podman and skopeo write it: layers uncompressed and named by their digest. */
export async function* dockerFiles(store: Store, images: readonly SavedImage[]): ArchiveFiles {
  const plain = new PlainLayers(store);
  const entries = merged(images);
  const layers = new Map<Digest, PlainLayer>();
  const manifest: JsonObject[] = [];
  for (const saved of entries) {
    const own = await plain.of(saved);
    for (const layer of own) layers.set(layer.digest, layer);
    manifest.push({
      Config: `${hexOf(saved.image.id)}.json`,
      RepoTags: saved.names.length === 0 ? null : saved.names,
      Layers: own.map(({ digest }) => layerName(digest)),
    });
  }
  // First, so that a reader knows at once what comes.
  yield documentFile('manifest.json', manifest);
  yield documentFile('repositories', repositoriesOf(entries));
  for (const { image } of entries) yield documentFile(`${hexOf(image.id)}.json`, store.layout.readDocument(image.id));
  for (const layer of layers.values()) {
    yield { name: layerName(layer.digest), size: layer.size, content: plain.read(layer) };
  }
}

/** Several manifests of one image differ in how its layers are packed, of which nothing is left here. */
function merged(images: readonly SavedImage[]): SavedImage[] {
  const byId = new Map<Digest, SavedImage>();
  for (const saved of images) {
    const names = [...(byId.get(saved.image.id)?.names ?? []), ...saved.names];
    byId.set(saved.image.id, { ...saved, names });
  }
  return [...byId.values()];
}

function layerName(diffId: Digest): string {
  return `${hexOf(diffId)}.tar`;
}

/** Repository to tag to topmost layer: what docker has beside its manifest since version 1.10. */
function repositoriesOf(images: readonly SavedImage[]): JsonObject {
  const repositories = new Map<string, Map<string, string>>();
  for (const { image, names } of images) {
    const top = image.diffIds.at(-1);
    for (const name of top === undefined ? [] : names) {
      const colon = name.lastIndexOf(':');
      const tags = repositories.get(name.slice(0, colon)) ?? new Map<string, string>();
      tags.set(name.slice(colon + 1), top === undefined ? '' : hexOf(top));
      repositories.set(name.slice(0, colon), tags);
    }
  }
  return Object.fromEntries([...repositories].map(([repository, tags]) => [repository, Object.fromEntries(tags)]));
}
