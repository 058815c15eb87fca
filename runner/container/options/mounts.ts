import { type MountRequest } from '../volume/mount-request.ts';
import { type VolumesFrom } from '../volume/resolve-mounts.ts';

/** What the command line asks for of the container's mounts. */
export interface MountOptions {
  /** No change to the root filesystem but in temporary directories. */
  readonly readOnly: boolean;
  /** With a read-only root, there are such. */
  readonly temporaries: boolean;
  /** /etc/hosts and its like are those of the layers: changes of them are changes as all others. */
  readonly hasHostFiles?: true;
  readonly mounts: readonly MountRequest[];
  /** Other containers whose volumes and binds it gets. */
  readonly volumesFrom: readonly VolumesFrom[];
}

/** `CONTAINER[:ro|:rw]`, as docker's --volumes-from. */
export function parseVolumesFrom(text: string): VolumesFrom {
  const [container = '', modes = ''] = text.split(/:(.*)/s);
  const names = modes === '' ? [] : modes.split(',');
  const wrong = names.find((name) => !['ro', 'rw', 'z', 'Z'].includes(name));
  if (container === '' || wrong !== undefined) {
    throw new Error(`--volumes-from ${JSON.stringify(text)} is not CONTAINER[:ro|:rw]`);
  }
  if (names.includes('ro')) return { container, readOnly: true };
  return names.includes('rw') ? { container, readOnly: false } : { container };
}
