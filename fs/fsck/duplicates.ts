import { type Inode } from '../overlay/inode.ts';
import { hasDotWhiteout } from '../overlay/merge.ts';
import { type RealDirectory } from '../overlay/real-directory.ts';
import { Attr } from '../sys/attr.ts';
import { type ByteString, toText } from '../sys/bytes.ts';
import { fstat, statat } from '../sys/file.ts';
import { SELF } from '../sys/xattr.ts';
import { childBelow } from './below.ts';
import { type CheckedLayer } from './checked-layer.ts';
import { pathTo } from './path.ts';

const attr = new Attr();

const CHOICE = 'put a whiteout in the place that is to go, or make that directory opaque and remove its redirect';

/** Checks that a lower directory shows in one place only: where a redirect takes it, it is hidden where it was. */
export function checkDuplicates(
  layer: CheckedLayer,
  root: Inode,
  merged: readonly Inode[],
  redirected: readonly Inode[],
): void {
  if (redirected.length > 0) new Duplicates(layer, root, merged).check(redirected);
}

class Duplicates {
  readonly #layer: CheckedLayer;
  readonly #root: Inode;
  /** Directories of the checked layer that show a lower directory. */
  readonly #shownBy = new Map<string, Inode[]>();

  constructor(layer: CheckedLayer, root: Inode, merged: readonly Inode[]) {
    this.#layer = layer;
    this.#root = root;
    for (const inode of merged) for (const lower of inode.lowers) this.#note(lower, inode);
  }

  #note(lower: RealDirectory, inode: Inode): void {
    const key = this.#keyOf(lower);
    const known = this.#shownBy.get(key);
    if (known === undefined) this.#shownBy.set(key, [inode]);
    else known.push(inode);
  }

  #keyOf(lower: RealDirectory): string {
    fstat(this.#layer.union.fds.fd(lower), attr);
    return `${lower.layer.index} ${attr.dev} ${attr.ino}`;
  }

  check(redirected: readonly Inode[]): void {
    for (const inode of redirected) {
      const [lower] = inode.lowers;
      const { upper } = inode;
      if (lower === undefined || upper === undefined) continue;
      const others = (this.#shownBy.get(this.#keyOf(lower)) ?? []).filter((other) => other !== inode);
      const [place] = others.length > 0 ? others.map(pathOf) : this.#placesWhereLeft(lower);
      if (place === undefined) continue;
      const problem = `shows the lower directory ${quote(pathTo(lower))}, as does ${quote(place)}`;
      this.#layer.report('redirect-duplicate', { directory: upper, name: SELF }, problem, CHOICE);
    }
  }

  /** Paths at which a lower directory shows that nothing of the checked layer is merged with. */
  #placesWhereLeft(lower: RealDirectory): ByteString[] {
    const names: ByteString[] = [];
    for (let at = lower; at.parent !== undefined; at = at.parent) {
      names.unshift(at.name);
      const above = at.parent;
      const holders = above.parent === undefined ? [this.#root] : this.#shownBy.get(this.#keyOf(above));
      if (holders === undefined) continue;
      const reached = holders.filter((holder) => this.#leadsTo(holder, names, lower));
      return reached.map((holder) => [pathOf(holder) === '/' ? '' : pathOf(holder), ...names].join('/'));
    }
    return [];
  }

  #leadsTo(holder: Inode, names: readonly ByteString[], lower: RealDirectory): boolean {
    let inode: Inode | undefined = holder;
    for (const name of names) {
      if (inode === undefined || this.#covers(inode, name)) return false;
      inode = childBelow(this.#layer.union, inode, name);
    }
    const key = this.#keyOf(lower);
    return inode?.lowers.some((other) => this.#keyOf(other) === key) === true;
  }

  /** The checked layer has something of its own there. */
  #covers({ upper }: Inode, name: ByteString): boolean {
    const { union } = this.#layer;
    if (upper === undefined) return false;
    return statat(union.fds.fd(upper), name, attr) === 0 || hasDotWhiteout(union, upper, name);
  }
}

function pathOf(inode: Inode): ByteString {
  return inode.upper === undefined ? '' : pathTo(inode.upper);
}

function quote(path: ByteString): string {
  return JSON.stringify(toText(path));
}
