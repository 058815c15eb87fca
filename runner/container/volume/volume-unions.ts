import { closeSync, mkdirSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { type Mount, mount, toBytes } from '../../../fs/index.ts';
import { MNT_DETACH, UMOUNT_NOFOLLOW } from '../../../fs/sys/constants.ts';
import { umount } from '../../../fs/sys/mount.ts';
import { removeTree } from '../../../fs/sys/remove-tree.ts';
import { type Container } from '../container.ts';
import { type UnionMount } from './container-mount.ts';

// Volumes that are mounted through a union of their own, and images: served by who serves the container, for as long as
// one run of it takes. What is changed in them is gone then.

const DIRECTORY = 'unions';

/** Where the union of a container's mount is, by its place in the list. */
export function unionMountpoint({ directory }: Container, at: number): string {
  return join(directory, DIRECTORY, String(at), 'merged');
}

/** The unions beside that of a container. */
export class VolumeUnions {
  readonly #container: Container;
  readonly #mounts: Mount[];

  private constructor(container: Container, mounts: Mount[]) {
    this.#container = container;
    this.#mounts = mounts;
  }

  /** Mounts all of a container's. */
  static async mount(container: Container): Promise<VolumeUnions> {
    const mounts: Mount[] = [];
    const unions = new VolumeUnions(container, mounts);
    try {
      for (const [at, wanted] of container.mounts.entries()) {
        if (wanted.type === 'tmpfs' || wanted.union === undefined) continue;
        mounts.push(await mountOne(container, at, wanted.union));
      }
    } catch (error) {
      await unions.unmount(() => undefined);
      throw error;
    }
    return unions;
  }

  /** @param report told of what goes wrong. */
  async unmount(report: (message: string) => void): Promise<void> {
    for (const union of this.#mounts.splice(0)) {
      try {
        await union.unmount();
      } catch (error) {
        report(error instanceof Error ? error.message : String(error));
      }
      union.forget();
    }
    clear(this.#container);
  }
}

function mountOne(container: Container, at: number, { lowers, isWritable }: UnionMount): Promise<Mount> {
  const mountpoint = unionMountpoint(container, at);
  // What a killed supervisor left.
  umount(toBytes(mountpoint), MNT_DETACH | UMOUNT_NOFOLLOW);
  const base = join(container.directory, DIRECTORY, String(at));
  clearIn(join(container.directory, DIRECTORY), String(at));
  for (const name of ['merged', 'upper', 'work']) mkdirSync(join(base, name), { recursive: true, mode: 0o700 });
  const changes = { upper: toBytes(join(base, 'upper')), work: toBytes(join(base, 'work')), volatile: true };
  return mount({
    mountpoint: toBytes(mountpoint),
    overlay: isWritable ? { lowers, ...changes } : { lowers },
    fuse: { fsname: 'lamina', dev: false },
  });
}

function clear({ directory }: Container): void {
  clearIn(directory, DIRECTORY);
}

function clearIn(directory: string, name: string): void {
  let fd: number;
  try {
    fd = openSync(directory, 'r');
  } catch {
    return;
  }
  try {
    removeTree(fd, name);
  } finally {
    closeSync(fd);
  }
}
