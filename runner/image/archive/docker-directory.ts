import { type Digest, digestOf, hexOf } from '../digest.ts';
import { type Store } from '../store.ts';
import { type ArchiveFiles, documentFile, readBlob, verified } from './files.ts';
import { type PlainLayer, PlainLayers } from './plain-layers.ts';
import { type SavedImage } from './saved-image.ts';

const DOCKER_TYPE = {
  manifest: 'application/vnd.docker.distribution.manifest.v2+json',
  config: 'application/vnd.docker.container.image.v1+json',
  plain: 'application/vnd.docker.image.rootfs.diff.tar',
  gzip: 'application/vnd.docker.image.rootfs.diff.tar.gzip',
} as const;

interface Layer {
  readonly mediaType: string;
  readonly digest: Digest;
  readonly size: number;
  readonly plain?: PlainLayer;
}

/** The files of a directory as containers/image's `dir:` has it, with a manifest of docker's schema 2. */
export async function* dockerDirectoryFiles(store: Store, saved: SavedImage, uncompressed: boolean): ArchiveFiles {
  const plain = new PlainLayers(store);
  const layers = uncompressed ? await plainLayers(plain, saved) : saved.manifest.layers.map(gzipLayer);
  const config = store.layout.readDocument(saved.image.id);
  yield documentFile('version', Buffer.from('Directory Transport Version: 1.1\n'));
  yield documentFile('manifest.json', {
    schemaVersion: 2,
    mediaType: DOCKER_TYPE.manifest,
    config: { mediaType: DOCKER_TYPE.config, digest: digestOf(config), size: config.length },
    layers: layers.map(({ mediaType, digest, size }) => ({ mediaType, digest, size })),
  });
  yield documentFile(hexOf(saved.image.id), config);
  const distinct = new Map(layers.map((layer) => [layer.digest, layer]));
  for (const { digest, size, plain: source } of distinct.values()) {
    const kept = (): AsyncGenerator<Uint8Array> =>
      verified(readBlob(store.layout, digest), digest, size, `layer ${digest}`);
    yield { name: hexOf(digest), size, content: source === undefined ? kept() : plain.read(source) };
  }
}

async function plainLayers(plain: PlainLayers, saved: SavedImage): Promise<Layer[]> {
  const layers = await plain.of(saved);
  return layers.map((layer) => ({ ...layer, mediaType: DOCKER_TYPE.plain, plain: layer }));
}

function gzipLayer({ digest, size, mediaType }: SavedImage['manifest']['layers'][number]): Layer {
  if (mediaType.endsWith('zstd')) {
    throw new Error(
      `layer ${digest} is compressed with zstd, which docker-dir has no type for; give --uncompressed, or --format oci-dir`,
    );
  }
  return { mediaType: mediaType.endsWith('gzip') ? DOCKER_TYPE.gzip : DOCKER_TYPE.plain, digest, size };
}
