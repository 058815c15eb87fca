import { Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { S_IFMT, S_IFREG } from '../sys/constants.ts';
import { EINVAL, ENOENT } from '../sys/errno.ts';
import { statat } from '../sys/file.ts';
import { type Layer } from './layer.ts';
import { RealDirectory } from './real-directory.ts';
import { type FilePlace } from './stack.ts';
import { type Union } from './union.ts';

// Data-only layers (`::`, `datadir+`): no name in them shows. A metacopy of a lower layer that has an absolute redirect
// finds its data there when it is first opened (fs/overlayfs/namei.c, ovl_maybe_lookup_lowerdata).

const attr = new Attr();

/**
 * The regular file of a path in the topmost data-only layer that has one, whatever its xattrs say; or a negative errno.
 * No symlink is followed: components are opened one by one.
 */
export function findInDataLayers(union: Union, path: ByteString): FilePlace | number {
  const components = path.slice(1).split('/');
  if (components.includes('')) return -EINVAL;
  const name = components.pop() ?? '';
  if (components.some(isDots) || isDots(name)) return -ENOENT;
  let failure = -ENOENT;
  for (const layer of union.dataLayers) {
    const directory = directoryOf(layer, components);
    const found = findRegular(union, directory, name);
    if (found === 0) return { directory, name };
    failure = found;
  }
  return failure;
}

function isDots(component: ByteString): boolean {
  return component === '.' || component === '..' || component.includes('\0');
}

/** Anything but a regular file is no data. */
function findRegular(union: Union, directory: RealDirectory, name: ByteString): number {
  const dirfd = union.fds.fd(directory);
  if (dirfd < 0) return dirfd;
  const done = statat(dirfd, name, attr);
  if (done < 0) return done;
  return (attr.mode & S_IFMT) === S_IFREG ? 0 : -ENOENT;
}

/** Directories remembered for each data-only layer, so that files beside each other share a descriptor. */
const REMEMBERED = 4096;

function directoryOf(layer: Layer, components: readonly ByteString[]): RealDirectory {
  const path = components.join('/');
  const known = path === '' ? layer.root : layer.dataDirectories.get(path);
  if (known !== undefined) return known;
  let directory = layer.root;
  for (const component of components) directory = new RealDirectory(layer, directory, component);
  // What falls out is made again when it is asked for.
  if (layer.dataDirectories.size >= REMEMBERED) layer.dataDirectories.clear();
  layer.dataDirectories.set(path, directory);
  return directory;
}
