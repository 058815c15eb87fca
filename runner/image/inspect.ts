import { toText } from '../../fs/sys/bytes.ts';
import { type Image } from './image.ts';
import { familiarName, familiarRepoDigest } from './reference.ts';
import { type ImageSize } from './sizes.ts';

/** What `image inspect` prints of an image, in docker's words. */
export function inspectImage(
  image: Image,
  { size, shared, unique }: ImageSize,
  layerSizes: readonly number[],
): unknown {
  const { config, platform } = image;
  return {
    Id: image.id,
    RepoTags: image.names.map(familiarName),
    RepoDigests: image.repoDigests.map(familiarRepoDigest),
    Created: image.created ?? null,
    Comment: image.history.at(-1)?.comment ?? '',
    Author: image.author,
    Architecture: platform.architecture,
    ...(platform.variant === '' ? {} : { Variant: platform.variant }),
    Os: platform.os,
    Size: size,
    SharedSize: shared,
    UniqueSize: unique,
    GraphDriver: { Name: 'lamina', Data: directoriesOf(image) },
    Config: {
      User: config.user,
      ExposedPorts: emptyMembers(config.exposedPorts),
      Env: config.env,
      Cmd: nullIfEmpty(config.cmd),
      Entrypoint: nullIfEmpty(config.entrypoint),
      Volumes: emptyMembers(config.volumes),
      WorkingDir: config.workingDir,
      Labels: config.labels,
      ...(config.stopSignal === undefined ? {} : { StopSignal: config.stopSignal }),
    },
    RootFS: { Type: 'layers', Layers: image.diffIds },
    History: image.history.map(({ created, createdBy, author, comment, emptyLayer }) => ({
      created,
      created_by: createdBy,
      ...(author === '' ? {} : { author }),
      ...(comment === '' ? {} : { comment }),
      ...(emptyLayer ? { empty_layer: true } : {}),
    })),
    ChainIDs: image.chainIds,
    LayerSizes: layerSizes,
    Manifests: image.manifests,
  };
}

/** As of docker's overlay2: the topmost layer, and what lies below it. Nothing of an image that is not unpacked. */
function directoriesOf({ layers, unpacked }: Image): unknown {
  const [top = '', ...lowers] = layers.map(toText);
  if (!unpacked) return null;
  return { UpperDir: top, ...(lowers.length === 0 ? {} : { LowerDir: lowers.join(':') }) };
}

function nullIfEmpty(list: readonly string[]): readonly string[] | null {
  return list.length === 0 ? null : list;
}

// docker has sets as objects of empty objects.
function emptyMembers(names: readonly string[]): Readonly<Record<string, object>> {
  return Object.fromEntries(names.map((name) => [name, {}]));
}
