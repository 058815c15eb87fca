import { type ArchiveContents } from './contents.ts';
import { hexOf } from './digest.ts';
import { asObject, asString, parseDocument } from './json.ts';
import { type Descriptor, isManifestType, parseManifest } from './manifest.ts';
import { checkFile, type NewImage } from './new-image.ts';
import { type SpooledFile } from './spool.ts';

/** The file by which containers/image knows its own directories. */
export const DIR_VERSION = 'version';

/** The image of a directory as skopeo's `dir:` and `podman save --format docker-dir` write it. It has no name. */
export function readDirTransport(contents: ArchiveContents, manifestFile: SpooledFile): NewImage[] {
  const bytes = contents.readDocument(manifestFile);
  const mediaType = asString(
    asObject(parseDocument(bytes, 'manifest.json'), 'manifest.json')['mediaType'],
    'mediaType',
  );
  if (!isManifestType(mediaType)) throw new Error(`manifest.json is of a type that cannot be loaded: ${mediaType}`);
  const manifest = parseManifest(bytes, 'manifest.json');
  const require = (descriptor: Descriptor, what: string): SpooledFile => {
    const file = contents.require(hexOf(descriptor.digest), what);
    checkFile(file, descriptor.digest, descriptor.size, what);
    return file;
  };
  return [
    {
      names: [],
      title: manifestFile.digest,
      config: contents.readDocument(require(manifest.config, 'configuration')),
      manifest: { bytes, mediaType },
      layers: manifest.layers.map((layer) => ({ file: require(layer, 'layer'), mediaType: layer.mediaType })),
    },
  ];
}
