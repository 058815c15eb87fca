import { type Attr } from '../sys/attr.ts';
import { type ByteString, toText } from '../sys/bytes.ts';
import { AT_FDCWD, O_CLOEXEC, O_DIRECTORY, O_PATH, S_IFDIR, S_IFMT } from '../sys/constants.ts';
import { scatteredNumber } from '../sys/inode-number.ts';
import { ENOTDIR, SystemError, check } from '../sys/errno.ts';
import { close, fstat, openat } from '../sys/file.ts';
import { type Inode } from './inode.ts';
import { type LayerIndex } from '../layer-index/layer-index.ts';
import { RealDirectory } from './real-directory.ts';

/** Inode numbers of a second, third ... filesystem get this much added, so that they stay unique (xino). */
const XINO_STEP = 2 ** 40;
const XINO_FILESYSTEMS = 2 ** 12;

/** In the place of a descriptor: the directory is to be opened by its path. */
export const NOT_OPEN = -1;

/** One directory of the union's stack. */
export class Layer {
  readonly path: ByteString;
  readonly writable: boolean;
  readonly root: RealDirectory;
  /** Device of the layer's root, as `Attr.dev`. */
  readonly dev: number;
  /** 0 for the first filesystem met among the layers, 1 for the second ...; see `uniqueIno`. */
  fsid = 0;
  /** Files of more than one name that are in memory, by real inode number: all names lead to one inode. */
  readonly linked = new Map<number, Inode>();
  /** In the upper: st_ino that a copied-up file keeps showing, by its real inode number. */
  readonly keptInos = new Map<number, number>();
  /** Reading changes the atimes of its files, as often as its own mount has it. */
  keepsAccessTimes = false;
  /** O_NOATIME was refused once (not the owner, no CAP_FOWNER): reads change atimes, as everywhere else. */
  refusesNoAtime = false;
  /** The kernel has refused to read its files by itself: its filesystem is stacked. */
  refusesPassthrough = false;
  /** FICLONE from this layer to the upper was refused once. */
  refusesClone = false;

  /** What is in it, where that was written down; see indexed-layer.ts. */
  contents: LayerIndex | undefined = undefined;
  /** Bits for the namespaces of xattrs that its filesystem is known to have; see xattrs.ts. */
  xattrNamespaces = 0;

  /** Xattr in which its files' owners, modes and types are kept, or empty: they are the real ones; see stat-override.ts. */
  override: ByteString = '';

  /** UUID of its filesystem, or zeros where that is not known or does not tell it from another's. */
  uuid: ByteString = '';
  /** On btrfs, which of the filesystem's subvolumes it is in, as file handles name it. */
  subvolume: ByteString = '';

  /** Place among the lower layers, 0 the topmost; -1 for the upper; behind the others for data-only ones. */
  index = -1;

  /** Of a data-only layer: its directories that were looked into, by path. */
  readonly dataDirectories = new Map<ByteString, RealDirectory>();

  /**
   * Opens the directory; throws `SystemError` where that fails.
   *
   * @param opened its descriptor where it could be opened before.
   */
  constructor(role: string, path: ByteString, writable: boolean, attr: Attr, opened = NOT_OPEN) {
    this.path = path;
    this.writable = writable;
    const attempt = `open ${role} ${toText(path)}`;
    const fd = opened >= 0 ? opened : check(openat(AT_FDCWD, path, O_PATH | O_DIRECTORY | O_CLOEXEC), attempt);
    check(fstat(fd, attr), attempt);
    // A descriptor that was opened before may be of anything.
    if ((attr.mode & S_IFMT) !== S_IFDIR) throw new SystemError(attempt, -ENOTDIR);
    this.dev = attr.dev;
    this.root = new RealDirectory(this, undefined, '');
    this.root.fd = fd;
  }

  /** All layers are on one filesystem, whose inode numbers can show as they are. */
  alone = false;

  /** Inode numbers are to fit 32 bits, for programs whose `ino_t` has no more; two files may then have the same. */
  narrow = false;

  /** st_ino for a file of this layer: unique over all layers, stable over mounts of the same stack. */
  uniqueIno(ino: number, dev = this.dev): number {
    const unique = this.#uniqueIno(ino, dev);
    return this.narrow ? fold(unique) : unique;
  }

  #uniqueIno(ino: number, dev: number): number {
    // Of a filesystem that is mounted inside the layer.
    if (dev !== this.dev) return scatteredNumber(ino, dev);
    const kept = this.keptInos.size === 0 ? undefined : this.keptInos.get(ino);
    if (kept !== undefined) return kept;
    if (this.alone) return ino;
    const hasRoom = ino < XINO_STEP && this.fsid < XINO_FILESYSTEMS;
    return hasRoom ? ino + this.fsid * XINO_STEP : scatteredNumber(ino, this.fsid);
  }

  close(): void {
    close(this.root.fd);
  }
}

/** Numbers of up to 32 bits stay as they are. */
function fold(ino: number): number {
  const high = Math.floor(ino / 2 ** 32);
  // The golden ratio, which spreads neighbours.
  return (ino ^ Math.imul(high, 0x9e3779b1)) >>> 0 || 1;
}

/** Numbers the layers' filesystems: the same device, the same number. */
export function assignFilesystemIds(layers: readonly Layer[]): void {
  const devices: number[] = [];
  for (const layer of layers) {
    if (!devices.includes(layer.dev)) devices.push(layer.dev);
    layer.fsid = devices.indexOf(layer.dev);
  }
  for (const layer of layers) layer.alone = devices.length === 1;
}
