import { type Identity, parseIdentity } from '../overlay/file-handle.ts';
import { parseNlink, formatNlink } from '../overlay/link-index.ts';
import { RealDirectory } from '../overlay/real-directory.ts';
import { isWhiteoutDevice } from '../layer-format.ts';
import { Attr } from '../sys/attr.ts';
import { type ByteString } from '../sys/bytes.ts';
import { S_IFDIR, S_IFMT } from '../sys/constants.ts';
import { statat } from '../sys/file.ts';
import { nameToHandle } from '../sys/handle.ts';
import { SELF, getxattrText } from '../sys/xattr.ts';
import { type CheckedLayer } from './checked-layer.ts';
import { type Sought } from './identities.ts';
import { type Place, type Repair } from './problem.ts';
import { removeAll } from './repair.ts';
import { type CheckedWorkdir } from './workdir.ts';

const TEMPORARY = /^#[0-9a-f]+$/;
const DATA_LEFT = 'the entry is the only name of its data: look at what is in it, and remove it by hand';

const attr = new Attr();
const lower = new Attr();

/** Checks the index of hard links (overlayfs's `index=on` and `nfs_export=on`). */
export class IndexCheck {
  readonly #layer: CheckedLayer;
  readonly #workdir: CheckedWorkdir;
  readonly #index: RealDirectory;
  entries = 0;

  constructor(layer: CheckedLayer, workdir: CheckedWorkdir) {
    this.#layer = layer;
    this.#workdir = workdir;
    this.#index = new RealDirectory(layer.layer, undefined, 'index');
    this.#index.fd = workdir.index;
  }

  run(): void {
    if (this.#index.fd < 0) return;
    this.#checkOwner();
    for (const name of this.#workdir.namesIn(this.#index.fd, 'index')) this.#checkEntry(name);
  }

  #report(
    kind: Parameters<CheckedWorkdir['report']>[0],
    name: ByteString,
    problem: string,
    remedy: Repair | string,
  ): void {
    this.#workdir.report(kind, name === '' ? '/index' : `/index/${name}`, problem, remedy);
  }

  /** `overlay.upper` tells whose index it is (fs/overlayfs/super.c, ovl_get_indexdir). */
  #checkOwner(): void {
    const xattr = `${this.#layer.prefix}upper`;
    const value = getxattrText(this.#index.fd, SELF, xattr);
    if (typeof value !== 'string' || isIdentityOf(value, this.#layer.layer.root.fd)) return;
    const choice = `give the workdir that belongs to this upper, or, if the upper was copied together with it, remove ${xattr}`;
    this.#report('index-upper', '', `${xattr} is another directory than the upper`, choice);
  }

  #checkEntry(name: ByteString): void {
    if (statat(this.#index.fd, name, attr) < 0) return;
    const isWhiteout = isWhiteoutDevice(attr);
    if (TEMPORARY.test(name)) {
      if (isWhiteout) return;
      const remedy = removeAll(() => this.#index.fd, name);
      this.#report('temporary', name, 'a file that was being made', remedy);
      return;
    }
    this.entries++;
    const identity = /^([0-9a-f]{2})+$/.test(name)
      ? parseIdentity(Buffer.from(name, 'hex').toString('latin1'))
      : undefined;
    if (identity === undefined) this.#reportName(name);
    else if (isWhiteout) this.#checkWhiteout(name, identity);
    else if ((attr.mode & S_IFMT) === S_IFDIR) this.#checkDirectory(name);
    else this.#checkFile(name, identity);
  }

  #placeOf(name: ByteString): Place {
    return { directory: this.#index, name };
  }

  /** Its data has other names, or there is none. */
  #removal(name: ByteString): Repair | string {
    const isRedundant = attr.nlink > 1 || attr.size === 0;
    return isRedundant ? this.#layer.repairs.removeFile(this.#placeOf(name)) : DATA_LEFT;
  }

  #reportName(name: ByteString): void {
    const isDirectory = (attr.mode & S_IFMT) === S_IFDIR;
    const remedy = isDirectory ? 'look at what is in it, and move it away' : this.#removal(name);
    this.#report('index-name', name, 'its name is no file handle', remedy);
  }

  #seek(identity: Identity): Sought {
    return this.#layer.hasLowers ? this.#layer.identities.seek(identity, lower) : 'unknown';
  }

  /** With `nfs_export=on` a whiteout tells that handles of the lower file, which is there still, are stale. */
  #checkWhiteout(name: ByteString, identity: Identity): void {
    if (this.#seek(identity) !== 'stale') return;
    const remedy = this.#layer.repairs.removeFile(this.#placeOf(name));
    this.#report('index-stale', name, 'a whiteout of a lower file that is not there any more', remedy);
  }

  /** With `nfs_export=on` an empty directory stands for one that was copied up, which `overlay.upper` names. */
  #checkDirectory(name: ByteString): void {
    const value = getxattrText(this.#index.fd, name, `${this.#layer.prefix}upper`);
    const upper = typeof value === 'string' ? parseIdentity(value) : undefined;
    const remedy = this.#layer.repairs.removeDirectory(this.#placeOf(name));
    if (upper === undefined) this.#report('index-orphan', name, 'a directory that names none of the upper', remedy);
    else if (this.#layer.identities.seek(upper, lower) === 'stale') {
      this.#report('index-orphan', name, 'a directory of the upper that is not there any more', remedy);
    }
  }

  #checkFile(name: ByteString, identity: Identity): void {
    const sought = this.#seek(identity);
    if (sought === 'stale') {
      this.#report('index-stale', name, 'its lower file is not there any more', this.#removal(name));
      return;
    }
    this.#checkOrigin(name);
    this.#checkNlink(name, sought === 'found' ? lower.nlink : undefined);
  }

  #checkOrigin(name: ByteString): void {
    const { originXattr } = this.#layer.union;
    const expected = Buffer.from(name, 'hex').toString('latin1');
    const origin = getxattrText(this.#index.fd, name, originXattr);
    if (origin === expected) return;
    const repair = this.#layer.repairs.setXattr(this.#placeOf(name), originXattr, expected);
    const problem = typeof origin === 'string' ? `${originXattr} is not its name` : `has no ${originXattr}`;
    const isOther = typeof origin === 'string' && parseIdentity(origin) !== undefined;
    const remedy = isOther ? 'it belongs to one of two lower files: rename it, or set the xattr' : repair;
    this.#report('index-origin', name, problem, remedy === repair ? { ...repair, text: `set ${originXattr}` } : remedy);
  }

  /** Links that users see are those of the upper's file and so many more (ovl_get_nlink); see overlay/link-index.ts. */
  #checkNlink(name: ByteString, lowerNlink: number | undefined): void {
    const { nlinkXattr } = this.#layer.union;
    const value = getxattrText(this.#index.fd, name, nlinkXattr);
    const more = typeof value === 'string' ? parseNlink(value) : undefined;
    if (more !== undefined && attr.nlink === 1 && more === -1) {
      const remedy = this.#layer.repairs.removeFile(this.#placeOf(name));
      this.#report('index-orphan', name, 'all names of the file are gone', remedy);
      return;
    }
    const highest = lowerNlink === undefined ? Number.MAX_SAFE_INTEGER : lowerNlink - 1;
    if (more !== undefined && more >= -1 && more <= highest) return;
    const shown = typeof value === 'string' ? `is ${JSON.stringify(value)}` : 'is not there';
    const names = lowerNlink === undefined ? '' : `, and the lower file has ${lowerNlink} links`;
    this.#report('index-nlink', name, `${nlinkXattr} ${shown}${names}`, this.#nlinkRemedy(name, lowerNlink));
  }

  /** As many as there can be: so the file does not go before the last of its names. */
  #nlinkRemedy(name: ByteString, lowerNlink: number | undefined): Repair | string {
    if (lowerNlink === undefined) return 'as root, with the lower layers given, it can be set anew';
    return this.#layer.repairs.setXattr(this.#placeOf(name), this.#layer.union.nlinkXattr, formatNlink(lowerNlink - 1));
  }
}

/** Whether a mark names the directory of a descriptor. */
export function isIdentityOf(bytes: ByteString, fd: number): boolean {
  const identity = parseIdentity(bytes);
  const handle = nameToHandle(fd, SELF);
  // A filesystem without handles cannot tell.
  if (typeof handle === 'number') return true;
  return identity?.handle.bytes === handle.bytes && identity.handle.type === (handle.type & 0xff);
}
