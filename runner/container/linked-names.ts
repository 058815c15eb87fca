import { isWhiteoutDevice } from '../../fs/layer-format.ts';
import { Attr } from '../../fs/sys/attr.ts';
import { type ByteString } from '../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_RDONLY, S_IFDIR, S_IFMT } from '../../fs/sys/constants.ts';
import { readDirectory } from '../../fs/sys/directory.ts';
import { check, ENOENT } from '../../fs/sys/errno.ts';
import { close, openat, statat } from '../../fs/sys/file.ts';
import { nameToHandle } from '../../fs/sys/handle.ts';
import { type OwnerRecords } from '../image/layer-file.ts';
import { type SourceFile } from '../image/pack.ts';
import { type DirectoryStack } from './layer-view.ts';

/** Names in a directory that are sought, or that lead to such. */
export interface LinkNode {
  readonly children: ReadonlyMap<ByteString, LinkNode>;
}

export const NO_LINKS: LinkNode = { children: new Map() };

const OPEN = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
const NO_INDEX = -1;
// `struct ovl_fb` (fs/overlayfs/overlayfs.h): 21 bytes before the handle, of which the fifth is its type.
const TYPE = 4;
const HANDLE = 21;

const attr = new Attr();

/**
 * Files of the layers below that have several names there, and changed under one of them. With overlayfs's `index=on` the
 * copy is `workdir/index/HANDLE`, where all its names lead, also those that the upper does not have. A layer must hold all
 * of them, or the names would part.
 */
export class LinkedNames {
  readonly #index: number;
  /** Names in the index, by the handle of the lower file. */
  readonly #entries = new Map<string, ByteString>();
  /** Lower files without a copy that are to keep their names together. */
  readonly #moved = new Set<string>();

  private constructor(index: number) {
    this.#index = index;
  }

  /** @param work the upper's workdir. */
  static open(work: ByteString): LinkedNames {
    const index = openat(-1, `${work}/index`, OPEN);
    if (index === -ENOENT) return new LinkedNames(NO_INDEX);
    const linked = new LinkedNames(check(index, `open ${work}/index`));
    linked.#readIndex();
    return linked;
  }

  #readIndex(): void {
    const names: ByteString[] = [];
    check(
      readDirectory(this.#index, (name) => void names.push(name)),
      'read the index of hard links',
    );
    for (const name of names) {
      if (!/^(?:[0-9a-f]{2}){22,}$/.test(name) || statat(this.#index, name, attr) < 0) continue;
      if (isWhiteoutDevice(attr) || (attr.mode & S_IFMT) === S_IFDIR) continue;
      const identity = Buffer.from(name, 'hex').toString('latin1');
      this.#entries.set(keyOf(identity.charCodeAt(TYPE), identity.slice(HANDLE)), name);
    }
  }

  /** The copy that stands for a lower file. */
  copyOf({ dirfd, name }: SourceFile, records: OwnerRecords): SourceFile | undefined {
    if (this.#entries.size === 0) return undefined;
    const entry = this.#entries.get(handleOf(dirfd, name) ?? '');
    return entry === undefined ? undefined : { dirfd: this.#index, name: entry, records };
  }

  /** Notes a lower file that shows in another place than its own. */
  note({ dirfd, name }: SourceFile): void {
    const key = handleOf(dirfd, name);
    if (key !== undefined) this.#moved.add(key);
  }

  /** All names of such files, as a tree. That takes a walk through all layers, where there are any such files. */
  find(lowers: DirectoryStack): LinkNode {
    const isSought = (key: string): boolean => this.#entries.has(key) || this.#moved.has(key);
    return this.#entries.size + this.#moved.size === 0 ? NO_LINKS : findIn(lowers, isSought);
  }

  close(): void {
    if (this.#index !== NO_INDEX) close(this.#index);
  }
}

function findIn(stack: DirectoryStack, isSought: (key: string) => boolean): LinkNode {
  const children = new Map<ByteString, LinkNode>();
  for (const name of stack.names()) {
    const found = stack.find(name);
    if (found.kind === 'directory') {
      const inside = findIn(found.stack, isSought);
      if (inside.children.size > 0) children.set(name, inside);
      found.stack.close();
    } else if (found.kind !== 'absent' && isSought(handleOf(found.source.dirfd, found.source.name) ?? '')) {
      children.set(name, NO_LINKS);
    }
  }
  return { children };
}

/** Of a file of several names. */
function handleOf(dirfd: number, name: ByteString): string | undefined {
  if (name === '' || statat(dirfd, name, attr) < 0 || attr.nlink < 2) return undefined;
  const handle = nameToHandle(dirfd, name);
  // Without handles there is no index either; then the number has to do, within one layer.
  return typeof handle === 'number' ? `${attr.dev}:${attr.ino}` : keyOf(handle.type & 0xff, handle.bytes);
}

function keyOf(type: number, handle: ByteString): string {
  return `${type} ${handle}`;
}
