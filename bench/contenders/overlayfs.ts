import { capture, run } from '../command.ts';
import { type Contender, mountOptions, workingDirectory } from './contender.ts';

/** What tells one kernel overlayfs from another. */
interface Variant {
  readonly name: string;
  readonly description?: string;
  readonly extra?: readonly string[];
  /** Options that need an upper. */
  readonly writable?: readonly string[];
  /** Why it cannot be had in a user namespace. */
  readonly rootful?: string;
}

function overlayfs({ name, description, extra = [], writable = [], rootful }: Variant, rootless: boolean): Contender {
  const marks = rootless ? ['userxattr', ...extra] : extra;
  return {
    name,
    ...(description !== undefined && { description }),
    hasDaemon: false,
    async missing(ground) {
      if (ground.rootless === true && rootful !== undefined) return rootful;
      const filesystems = await capture(['cat', '/proc/filesystems']);
      return /\boverlay$/m.test(filesystems) ? undefined : 'the kernel has no overlayfs (modprobe overlay)';
    },
    command: (union, path) => [
      'mount',
      '-t',
      'overlay',
      'overlay',
      '-o',
      mountOptions(union, path, marks, writable),
      path,
    ],
    async mount(union, path) {
      await run(this.command?.(union, path) ?? ['false'], { cwd: workingDirectory(path) });
      return { unmount: () => run(['umount', path]) };
    },
  };
}

const VARIANTS: readonly Variant[] = [
  { name: 'overlayfs', description: "the kernel's, with its own defaults" },
  {
    name: 'overlayfs-metacopy',
    description: 'with metacopy=on,redirect_dir=on,index=on: what lamina-metacopy does, too',
    writable: ['metacopy=on', 'redirect_dir=on', 'index=on'],
    rootful: 'overlayfs refuses metacopy=on with userxattr',
  },
  {
    name: 'overlayfs-volatile',
    description: 'with volatile: it syncs nothing, as fuse-overlayfs never does',
    writable: ['volatile'],
  },
];

/** Kernel overlayfs in its variants. */
export function kernelContenders(rootless: boolean): Contender[] {
  return VARIANTS.map((variant) => overlayfs(variant, rootless));
}
