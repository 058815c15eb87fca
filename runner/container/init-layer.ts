import { type ByteString } from '../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_CREAT, O_DIRECTORY, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } from '../../fs/sys/constants.ts';
import { EEXIST, check } from '../../fs/sys/errno.ts';
import { close, openat, symlinkat } from '../../fs/sys/file.ts';
import { SELF } from '../../fs/sys/xattr.ts';
import { DirectoryWalker } from '../image/directory-walker.ts';
import { type Metadata, NO_XATTRS, applyMetadata } from '../image/entry-metadata.ts';
import { Warnings } from '../image/warnings.ts';
import { MergedTree } from './merged-tree.ts';

type Path = readonly ByteString[];

/** Something that must be there for a mount to go on. */
export interface MountPoint {
  /** Absolute path in the container. */
  readonly path: ByteString;
  readonly isDirectory: boolean;
}

const CREATE = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;

/**
 * The layer between the image's layers and the upper: what every container needs and no container's changes should
 * show, as docker makes it. It is an ordinary layer, filled before the union is mounted.
 */
class InitLayer {
  readonly #image: MergedTree;
  readonly #walker: DirectoryWalker;
  readonly #root: number;
  readonly #directories = new Map<ByteString, Path>();

  /**
   * @param directory empty.
   * @param layers the image's, the topmost first.
   */
  constructor(directory: ByteString, layers: readonly ByteString[]) {
    this.#root = check(openat(-1, directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), `open ${directory}`);
    this.#image = new MergedTree(layers);
    this.#walker = new DirectoryWalker(this.#root);
    this.#imply([]);
  }

  // A directory here is the topmost of those that merge, so the image's own look must be repeated on it.
  #imply(path: Path): void {
    this.#directories.set(path.join('/'), path);
  }

  #open(path: Path): number {
    return this.#walker.open(path, (implied) => this.#imply(implied));
  }

  /** A directory that must be a real one, whatever the image has on its path. */
  addDirectory(path: Path): void {
    this.#open(path);
  }

  /** An empty regular file that hides what the image has there: a symlink of the image is replaced, not followed. */
  addFile(directory: ByteString, name: ByteString): void {
    this.#makeFile([...this.#parent(directory), name]);
  }

  /** A symlink, where the image has nothing of that name. */
  addMissingSymlink(directory: ByteString, name: ByteString, target: ByteString): void {
    const parent = this.#parent(directory);
    if (this.#image.find([...parent, name]).kind !== 'absent') return;
    check(symlinkat(target, this.#open(parent), name), `make ${name} in the init layer`);
  }

  // Where the image has a directory, perhaps behind a symlink, the file goes there. A path that leads nowhere is made
  // anew.
  #parent(directory: ByteString): Path {
    const resolved = this.#image.resolve(directory);
    return resolved === undefined || resolved.kind === 'other' ? directory.split('/').filter(Boolean) : resolved.path;
  }

  #makeFile(path: Path): void {
    const name = path.at(-1) ?? '';
    const made = openat(this.#open(path.slice(0, -1)), name, CREATE, 0o644);
    if (made === -EEXIST) return;
    close(check(made, `make ${path.join('/')} in the init layer`));
  }

  /** What is a container's own wherever it runs. */
  addOwnFiles(): void {
    for (const name of ['hosts', 'hostname', 'resolv.conf']) this.addFile('/etc', name);
    this.addMissingSymlink('/etc', 'mtab', '/proc/mounts');
    // What programs look for that want to know whether they run in a container.
    this.addFile('/run', '.containerenv');
  }

  /** Makes what is missing for a mount at a path, whose symlinks are followed inside the image. */
  addMountPoint({ path, isDirectory }: MountPoint): void {
    const resolved = this.#image.resolve(path);
    if (resolved === undefined) throw new Error(`cannot mount on ${path} in the container: the path leads nowhere`);
    const wanted = isDirectory ? 'directory' : 'other';
    if (resolved.kind !== 'absent' && resolved.kind !== wanted) {
      throw new Error(
        `cannot mount on ${path} in the container: it is ${isDirectory ? 'no directory' : 'a directory'}`,
      );
    }
    if (resolved.kind !== 'absent') return;
    if (isDirectory) this.#open(resolved.path);
    else this.#makeFile(resolved.path);
  }

  /** Gives the directories the image's metadata, the deepest first, and `upper`, the container's root, too. */
  finish(upper: ByteString): void {
    const warnings = new Warnings();
    const deepestFirst = [...this.#directories.values()].sort((one, other) => other.length - one.length);
    for (const path of deepestFirst) {
      const name = path.at(-1) ?? SELF;
      const dirfd = this.#walker.open(path.slice(0, -1));
      applyMetadata({ dirfd, name, isSymlink: false }, this.#metadata(path), warnings);
    }
    const dirfd = check(openat(-1, upper, O_RDONLY | O_DIRECTORY | O_CLOEXEC), `open ${upper}`);
    applyMetadata({ dirfd, name: SELF, isSymlink: false }, this.#metadata([]), warnings);
    close(dirfd);
  }

  #metadata(path: Path): Metadata {
    return this.#image.metadata(path) ?? { mode: 0o755, uid: 0, gid: 0, mtime: now(), xattrs: NO_XATTRS };
  }

  close(): void {
    this.#walker.close();
    this.#image.close();
    close(this.#root);
  }
}

function now(): Metadata['mtime'] {
  return { seconds: Math.floor(Date.now() / 1000), nanoseconds: 0 };
}

/**
 * Fills a new container's init layer, and gives the upper's root the image's look.
 *
 * @param hasHostFiles /etc/hosts and its like are those of the layers.
 */
export function createInitLayer(
  directory: ByteString,
  upper: ByteString,
  layers: readonly ByteString[],
  mountPoints: readonly MountPoint[],
  hasHostFiles = false,
): void {
  const layer = new InitLayer(directory, layers);
  try {
    for (const path of [['dev', 'pts'], ['dev', 'shm'], ['proc'], ['sys']]) layer.addDirectory(path);
    if (!hasHostFiles) layer.addOwnFiles();
    for (const mountPoint of mountPoints) layer.addMountPoint(mountPoint);
    layer.finish(upper);
  } finally {
    layer.close();
  }
}
