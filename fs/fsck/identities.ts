import { type Identity, readUuid } from '../overlay/file-handle.ts';
import { type Layer } from '../overlay/layer.ts';
import { type ByteString } from '../sys/bytes.ts';
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../sys/constants.ts';
import { ENOENT, ESTALE } from '../sys/errno.ts';
import { type Attr } from '../sys/attr.ts';
import { close, fstat, openat } from '../sys/file.ts';
import { openByHandle } from '../sys/handle.ts';

/** What an identity leads to: a file whose attributes are known now, none any more, or what only root can tell. */
export type Sought = 'found' | 'stale' | 'foreign' | 'unknown';

/** Files of layers by their identities, as `overlay.origin` and the index of hard links name them. */
export class Identities {
  /** Descriptors of the filesystems that the layers are on, by UUID; several may have none. */
  readonly #mounts: readonly { readonly uuid: ByteString; readonly fd: number }[];

  constructor(layers: readonly Layer[]) {
    this.#mounts = layers.map((layer) => ({
      // Not the one that a mount would write: what is there may be of another mount.
      uuid: readUuid(layer),
      fd: openat(layer.root.fd, '.', O_RDONLY | O_DIRECTORY | O_CLOEXEC),
    }));
  }

  /** @param attr filled where the file is found. */
  seek({ uuid, handle }: Identity, attr: Attr): Sought {
    const mounts = this.#mounts.filter((mount) => mount.uuid === uuid || /^\0*$/.test(uuid));
    if (mounts.length === 0) return 'foreign';
    let sought: Sought = 'stale';
    for (const { fd } of mounts) {
      const opened = openByHandle(fd, handle);
      if (opened >= 0) {
        const stated = fstat(opened, attr);
        close(opened);
        // A file that is gone but held open by somebody.
        if (stated === 0 && attr.nlink > 0) return 'found';
      } else if (opened !== -ESTALE && opened !== -ENOENT) {
        sought = 'unknown';
      }
    }
    return sought;
  }

  close(): void {
    for (const { fd } of this.#mounts) if (fd >= 0) close(fd);
  }
}
