import { IndexEntry } from '../overlay/directory-index.ts';
import { Inode } from '../overlay/inode.ts';
import { readIndex } from '../overlay/merge.ts';
import { readMarks } from '../overlay/marks.ts';
import { RealDirectory } from '../overlay/real-directory.ts';
import { stackLowers } from '../overlay/stack.ts';
import { hasDotForm, isDotMark, isWhiteoutDevice } from '../layer-format.ts';
import { Attr } from '../sys/attr.ts';
import { type ByteString, toText } from '../sys/bytes.ts';
import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, S_IFDIR, S_IFMT } from '../sys/constants.ts';
import { readDirectory } from '../sys/directory.ts';
import { ENOENT, describeErrno } from '../sys/errno.ts';
import { close, openat, statat } from '../sys/file.ts';
import { type CheckedLayer } from './checked-layer.ts';
import { directoryBelow } from './below.ts';
import { checkDirectory } from './directory.ts';
import { type CheckedEntry } from './entry.ts';
import { checkFile } from './file.ts';
import { pathTo } from './path.ts';
import { checkDuplicates } from './duplicates.ts';
import { checkDotName, checkWhiteoutDevice } from './whiteouts.ts';

/** A path of PATH_MAX bytes has no more names: what is deeper, a user of the mount cannot reach by a path. */
const MAX_DEPTH = 2048;

interface Pending {
  readonly inode: Inode;
  readonly upper: RealDirectory;
  readonly depth: number;
}

const NOTHING_BELOW = new IndexEntry();

/** Checks every directory and file of a layer. No symlink is followed; nothing outside of the layers is looked at. */
export class TreeCheck {
  readonly #layer: CheckedLayer;
  readonly #pending: Pending[] = [];
  /** Directories that have parts in layers below, and, among them, those that a redirect leads there. */
  readonly #merged: Inode[] = [];
  readonly #redirected: Inode[] = [];
  readonly #attr = new Attr();

  constructor(layer: CheckedLayer) {
    this.#layer = layer;
  }

  run(): void {
    const root = this.#layer.root();
    checkDirectory(this.#layer, root, this.#layer.layer.root, undefined);
    this.#add(root, this.#layer.layer.root, 0);
    for (let next = this.#pending.pop(); next !== undefined; next = this.#pending.pop()) this.#visit(next);
    checkDuplicates(this.#layer, root, this.#merged, this.#redirected);
  }

  #add(inode: Inode, upper: RealDirectory, depth: number): void {
    this.#pending.push({ inode, upper, depth });
    if (inode.lowers.length === 0) return;
    this.#merged.push(inode);
    if (upper.redirect !== undefined && !upper.opaque) this.#redirected.push(inode);
  }

  #visit({ inode, upper, depth }: Pending): void {
    const layer = this.#layer;
    layer.directories++;
    if (depth > MAX_DEPTH) {
      const problem = `more than ${MAX_DEPTH} directories deep`;
      layer.report('too-deep', { directory: upper, name: '' }, problem, 'move what is below upwards');
      return;
    }
    const names = this.#namesIn(upper);
    const below = this.#readLowers(inode);
    if (names === undefined || below === undefined) return;
    // The form of whiteouts in it, without layers below as well.
    readMarks(layer.union, upper);
    let copiedUp = false;
    for (const name of names) {
      const lower = below.get(name) ?? NOTHING_BELOW;
      copiedUp = this.#check({ parent: inode, directory: upper, name, lower, below }, depth) || copiedUp;
    }
    if (copiedUp && !upper.impure) this.#reportPure(upper);
  }

  /** Answers whether it was copied up, so that its directory must be marked as impure. */
  #check(entry: CheckedEntry, depth: number): boolean {
    const { directory, name } = entry;
    const layer = this.#layer;
    const stated = statat(layer.union.fds.fd(directory), name, this.#attr);
    if (stated < 0) {
      this.#fail(directory, name, stated);
      return false;
    }
    if (hasDotForm(name) && isDotMark(layer.union.fds.fd(directory), name)) {
      checkDotName(layer, entry, this.#attr);
      return false;
    }
    if (isWhiteoutDevice(this.#attr)) {
      checkWhiteoutDevice(layer, entry);
      return false;
    }
    if ((this.#attr.mode & S_IFMT) === S_IFDIR) return this.#checkDirectory(entry, depth);
    layer.files++;
    return checkFile(layer, entry, this.#attr);
  }

  #checkDirectory(entry: CheckedEntry, depth: number): boolean {
    const { parent, directory, name, lower } = entry;
    const { union } = this.#layer;
    const upper = new RealDirectory(directory.layer, directory, name);
    const inode = new Inode(0, S_IFDIR, 0, parent, name);
    inode.upper = upper;
    const marked = readMarks(union, upper);
    if (marked < 0) {
      this.#fail(upper, '', marked);
      return false;
    }
    const lowers = stackLowers(union, parent, name, lower, upper);
    if (typeof lowers === 'number') {
      this.#fail(upper, '', lowers);
      return false;
    }
    inode.lowers = lowers;
    this.#add(inode, upper, depth + 1);
    return checkDirectory(this.#layer, inode, upper, entry);
  }

  #reportPure(directory: RealDirectory): void {
    const place = { directory, name: '' };
    const xattr = this.#layer.union.impureXattr;
    const remedy = this.#layer.repairs.setXattr(place, xattr, 'y');
    this.#layer.report('impure-missing', place, `has copied-up files, but no ${xattr}`, remedy);
  }

  #namesIn(directory: RealDirectory): ByteString[] | undefined {
    const dirfd = this.#layer.union.fds.fd(directory);
    const fd = dirfd < 0 ? dirfd : openat(dirfd, '.', O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    const names: ByteString[] = [];
    const read = fd < 0 ? fd : readDirectory(fd, (name) => names.push(name));
    if (fd >= 0) close(fd);
    if (read < 0) this.#fail(directory, '', read);
    return read < 0 ? undefined : names;
  }

  /** What the layers below have in a directory, by name. */
  #readLowers({ lowers }: Inode): ReadonlyMap<ByteString, IndexEntry> | undefined {
    if (lowers.length === 0) return new Map();
    const index = readIndex(this.#layer.union, directoryBelow(lowers));
    if (typeof index !== 'number') return new Map(index);
    const [lower] = lowers;
    if (lower !== undefined) this.#fail(lower, '', index);
    return undefined;
  }

  #fail(directory: RealDirectory, name: ByteString, errno: number): void {
    // Somebody removes files meanwhile: what is not there is not wrong.
    if (errno === -ENOENT) return;
    const path = toText(`${directory.layer.path}${pathTo(directory, name)}`);
    this.#layer.failures.push(`cannot read ${path}: ${describeErrno(errno)}`);
  }
}
