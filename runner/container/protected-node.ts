import { toBytes } from '../../fs/sys/bytes.ts';
import { SystemError, ENOSYS, EPERM, check } from '../../fs/sys/errno.ts';
import { close } from '../../fs/sys/file.ts';
import { copyToSealedMemory } from '../../fs/sys/memory-file.ts';
import { MOUNT_ATTR, cloneTree, mountSetattr } from '../../fs/sys/mount-attributes.ts';

/**
 * Gives `use` a descriptor of this Node to be executed for a container's stage, through /proc/self/fd.
 *
 * A command that is a script with the interpreter /proc/self/exe executes the stage's own program inside the
 * container, from where it can be written to if the file can (CVE-2019-5736). So the stage runs from a detached
 * read-only mount of Node's file, or where the kernel has no such thing (before Linux 5.12) from a sealed copy in
 * memory.
 */
export function withProtectedNode<T>(use: (fd: number) => T): T {
  const fd = openReadOnly() ?? copyToSealedMemory(process.execPath);
  try {
    return use(fd);
  } finally {
    close(fd);
  }
}

function openReadOnly(): number | undefined {
  const tree = cloneTree(toBytes(process.execPath));
  if (tree === -ENOSYS || tree === -EPERM) return undefined;
  check(tree, `clone the mount of ${process.execPath}`);
  const restricted = mountSetattr(tree, MOUNT_ATTR.readOnly | MOUNT_ATTR.noSuid, false);
  if (restricted === 0) return tree;
  close(tree);
  if (restricted === -ENOSYS) return undefined;
  throw new SystemError(`make a read-only mount of ${process.execPath}`, restricted);
}

// Where the loader looks by itself, whatever a program says.
const STANDARD = /^(?:\/usr)?\/lib(?:32|64|x32)?(?:\/[a-z0-9_]+-linux-(?:gnu|musl)[a-z0-9]*)?$/;

/**
 * Directories of the libraries that this process has mapped, but for those where the loader looks anyway. A Node that
 * finds its libraries relative to its own place (conda's) does not find them from where `withProtectedNode` puts it.
 *
 * @param maps text of /proc/PID/maps.
 */
export function libraryDirectories(maps: string): string[] {
  const libraries = maps.matchAll(/ (\/[^\n]+)\/[^/\n]+\.so(?:\.[0-9.]+)?$/gm);
  const directories = new Set([...libraries].map((match) => match[1] ?? ''));
  return [...directories].filter((directory) => !STANDARD.test(directory));
}
