import { prepareMount, toBytes } from '../../../fs/index.ts';
import { MNT_DETACH, UMOUNT_NOFOLLOW } from '../../../fs/sys/constants.ts';
import { umount } from '../../../fs/sys/mount.ts';
import { type Container } from '../container.ts';
import { type ContainerOptions } from '../options/container-options.ts';
import { clearMountpoint } from '../mountpoint.ts';
import { mountUnion, unmountUnion } from '../union.ts';
import { isRootless } from '../userns.ts';
import { mountOverlay } from './overlay.ts';

/** A container's root, for as long as one run of it takes. */
export interface MountedRoot {
  /** @param report told of what goes wrong. */
  unmount(report: (message: string) => void): Promise<void>;
}

/** Has what `mountRoot` takes come up, for who has other things to do before. */
export function prepareRoot({ driver = 'union', backend }: ContainerOptions): void {
  if (driver !== 'union') return;
  prepareMount(backend === undefined ? {} : { backend });
}

/**
 * Mounts a container's root on its place, by its driver; what a killed supervisor left mounted goes. What only a copy
 * needs is loaded for one alone.
 */
export async function mountRoot(container: Container, options: ContainerOptions): Promise<MountedRoot> {
  await clearMountpoint(container);
  switch (options.driver) {
    case 'overlay':
      mountByKernel(container, options);
      return { unmount: () => detach(container) };
    case 'vfs':
      await (await import('./vfs.ts')).mountCopy(container);
      return { unmount: (report) => takeBack(container, options, report) };
    default: {
      const union = await mountUnion(container, options).catch((error: unknown) => {
        throw new Error(adviseOnFuse(error instanceof Error ? error.message : String(error)), { cause: error });
      });
      return { unmount: (report) => unmountUnion(union, report) };
    }
  }
}

/** A kernel without FUSE, or a device that is closed, is no obstacle to the other drivers. */
function adviseOnFuse(message: string): string {
  return /: (?:open )?\/dev\/fuse/.test(message) ? `${message}; or do without FUSE: lamina run --driver auto` : message;
}

function mountByKernel(container: Container, { lifecycle }: ContainerOptions): void {
  mountOverlay({
    lowers: container.lowers,
    upper: toBytes(container.upper),
    work: toBytes(container.work),
    mountpoint: toBytes(container.merged),
    isRootless: isRootless(),
    volatile: lifecycle.remove,
  });
}

/** What goes with its end need not be made an upper again. */
async function takeBack(
  container: Container,
  { lifecycle }: ContainerOptions,
  report: (message: string) => void,
): Promise<void> {
  await detach(container);
  if (lifecycle.remove) return;
  try {
    const { slim } = await import('./slim.ts');
    slim(container);
  } catch (error) {
    report(error instanceof Error ? error.message : String(error));
  }
}

function detach({ merged }: Container): Promise<void> {
  umount(toBytes(merged), MNT_DETACH | UMOUNT_NOFOLLOW);
  return Promise.resolve();
}
