import { type Image } from './image.ts';
import { familiarName, familiarRepoDigest } from './reference.ts';

/** What `image inspect` prints of an image, in docker's words. */
export function inspectImage(image: Image, size: number): unknown {
  const { config, platform } = image;
  return {
    Id: image.id,
    RepoTags: image.names.map(familiarName),
    RepoDigests: image.repoDigests.map(familiarRepoDigest),
    Created: image.created ?? null,
    Author: image.author,
    Architecture: platform.architecture,
    ...(platform.variant === '' ? {} : { Variant: platform.variant }),
    Os: platform.os,
    Size: size,
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
    History: image.history.map(({ created, createdBy, comment, emptyLayer }) => ({
      created,
      created_by: createdBy,
      ...(comment === '' ? {} : { comment }),
      ...(emptyLayer ? { empty_layer: true } : {}),
    })),
    ChainIDs: image.chainIds,
  };
}

function nullIfEmpty(list: readonly string[]): readonly string[] | null {
  return list.length === 0 ? null : list;
}

// docker has sets as objects of empty objects.
function emptyMembers(names: readonly string[]): Readonly<Record<string, object>> {
  return Object.fromEntries(names.map((name) => [name, {}]));
}
