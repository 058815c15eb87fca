import { type ArchiveEntry } from './archives.ts';

// What an archive makes of the layers below it, told from OCI's image specification and from what tar, docker and umoci do,
// by trees in memory: nothing here knows a system call, or how the program goes about it.

export interface ModelNode {
  readonly kind: 'directory' | 'file' | 'symlink' | 'fifo' | 'device';
  /** `MODE UID:GID MTIME` and what the kind has beside; a hard link's node is its target's. */
  look: string;
  /** Of this layer; else of one below. */
  own: boolean;
  readonly children: Map<string, ModelNode>;
}

/** Says that a right reader refuses the archive. */
class Refused extends Error {}

const NAME_MAX = 255;
const PATH_MAX = 4095;
const DEPTH_MAX = 256;
const RESERVED = /^SCHILY\.xattr\.(?:trusted\.overlay|user\.overlay|user\.fuseoverlayfs)\./;

function directory(look: string, own: boolean): ModelNode {
  return { kind: 'directory', look, own, children: new Map() };
}

/** The look of a directory that no entry describes. */
const IMPLIED = '755 0:0 0';

/** A tree that archives are applied to, one after the other. */
export class LayerModel {
  readonly root: ModelNode = directory(IMPLIED, false);
  #whiteouts: string[][] = [];
  #opaques: string[][] = [];

  /** Applies a layer. False: it is to be refused, and the tree is of no use any more. */
  apply(entries: readonly ArchiveEntry[]): boolean {
    disown(this.root);
    this.#whiteouts = [];
    this.#opaques = [];
    try {
      for (const entry of entries) this.#add(entry);
    } catch (error) {
      if (error instanceof Refused) return false;
      throw error;
    }
    // Wherever they stand, they hide what is below alone.
    for (const path of this.#opaques) this.#hideIn(this.#find(path));
    for (const path of this.#whiteouts) this.#hide(path);
    return true;
  }

  #add(entry: ArchiveEntry): void {
    const path = pathOf(entry.pax?.['path'] ?? entry.name);
    const marker = path.findIndex((part) => part.startsWith('.wh.'));
    if (marker >= 0) this.#mark(path, marker);
    else this.#make(entry, path);
  }

  #mark(path: readonly string[], at: number): void {
    const part = path[at] ?? '';
    const isLast = at === path.length - 1;
    if (isLast && part === '.wh..wh..opq') this.#opaques.push(path.slice(0, -1));
    else if (part.startsWith('.wh..wh.')) return;
    else if (!isLast || ['', '.', '..'].includes(part.slice(4))) throw new Refused();
    else this.#whiteouts.push([...path.slice(0, -1), part.slice(4)]);
  }

  #make(entry: ArchiveEntry, path: readonly string[]): void {
    const { type = '0', pax = {} } = entry;
    // A file whose name ends in a slash is a directory of before POSIX, but where a PAX record gives the name.
    const isDirectory = type === '5' || (type === '0' && (pax['path'] ?? entry.name).endsWith('/'));
    const name = path.at(-1);
    if (name === undefined && !isDirectory) throw new Refused();
    if (isDirectory && type === '0' && entry.data !== undefined && entry.data.length > 0) throw new Refused();
    if (name === undefined) {
      this.root.look = lookOf(entry, 'directory');
      return;
    }
    const parent = this.#parent(path);
    const there = parent.children.get(name);
    if (isDirectory) {
      const look = lookOf(entry, 'directory');
      if (there?.kind === 'directory') Object.assign(there, { look, own: true });
      else parent.children.set(name, directory(look, true));
    } else if (type === '1') {
      this.#link(entry, path, parent, name);
    } else {
      parent.children.set(name, leafOf(entry));
    }
  }

  #link(entry: ArchiveEntry, path: readonly string[], parent: ModelNode, name: string): void {
    const target = pathOf(entry.pax?.['linkpath'] ?? entry.linkname ?? '');
    if (target.length === 0 || target.join('/') === path.join('/')) throw new Refused();
    // What it replaces goes first, and the target with it where it lies within.
    parent.children.delete(name);
    let node: ModelNode | undefined = this.root;
    for (const part of target) node = node?.kind === 'directory' ? node.children.get(part) : undefined;
    if (node?.own !== true || node.kind === 'directory') throw new Refused();
    parent.children.set(name, node);
  }

  /** The directory above, made where it is missing; what is below this layer gives way to it, this layer's own does not. */
  #parent(path: readonly string[]): ModelNode {
    let node = this.root;
    for (const part of path.slice(0, -1)) {
      let next = node.children.get(part);
      if (next?.kind !== 'directory') {
        if (next?.own === true) throw new Refused();
        next = directory(IMPLIED, true);
        node.children.set(part, next);
      }
      next.own = true;
      node = next;
    }
    return node;
  }

  #find(path: readonly string[]): ModelNode | undefined {
    let node: ModelNode | undefined = this.root;
    for (const part of path) node = node?.children.get(part);
    return node;
  }

  #hideIn(node: ModelNode | undefined): void {
    for (const [name, child] of node?.children ?? []) {
      if (!child.own) node?.children.delete(name);
      else this.#hideIn(child);
    }
  }

  #hide(path: readonly string[]): void {
    const parent = this.#find(path.slice(0, -1));
    const node = parent?.children.get(path.at(-1) ?? '');
    if (node?.own === false) parent?.children.delete(path.at(-1) ?? '');
    else this.#hideIn(node);
  }

  /** A line for each file: path, look, and the first name of a file that has several. */
  lines(): string[] {
    const lines: string[] = [];
    const first = new Map<ModelNode, string>();
    const walk = (node: ModelNode, path: string): void => {
      const known = first.get(node);
      lines.push(`${path || '.'} ${node.kind} ${node.look}${known === undefined ? '' : ` = ${known}`}`);
      first.set(node, known ?? path);
      for (const name of [...node.children.keys()].sort()) {
        const child = node.children.get(name);
        if (child !== undefined) walk(child, path === '' ? name : `${path}/${name}`);
      }
    };
    walk(this.root, '');
    return lines;
  }
}

function disown(node: ModelNode): void {
  node.own = false;
  for (const child of node.children.values()) disown(child);
}

function pathOf(name: string): string[] {
  if (name.includes('\0') || name.length > PATH_MAX) throw new Refused();
  const path = name.split('/').filter((part) => part !== '' && part !== '.');
  if (path.length > DEPTH_MAX || path.some((part) => part === '..' || part.length > NAME_MAX)) throw new Refused();
  return path;
}

function lookOf(
  { mode, uid = 0, gid = 0, mtime = 1_000_000_000, type, pax = {} }: ArchiveEntry,
  kind: ModelNode['kind'],
): string {
  if (Object.keys(pax).some((key) => RESERVED.test(key))) throw new Refused();
  const bits = kind === 'symlink' ? 0o777 : (mode ?? (type === '5' ? 0o755 : 0o644)) & 0o7777;
  const note = kind === 'file' || kind === 'directory' ? pax['SCHILY.xattr.user.note'] : undefined;
  return `${bits.toString(8)} ${uid}:${gid} ${mtime}${note === undefined ? '' : ` note=${note}`}`;
}

function leafOf(entry: ArchiveEntry): ModelNode {
  const { type = '0', data = '', linkname = '', major = 0, minor = 0, pax = {} } = entry;
  const leaf = (kind: ModelNode['kind'], more: string): ModelNode => {
    return { kind, look: `${lookOf(entry, kind)}${more}`, own: true, children: new Map() };
  };
  switch (type) {
    case '2': {
      const target = pax['linkpath'] ?? linkname;
      if (target === '' || target.length > PATH_MAX || target.includes('\0')) throw new Refused();
      return leaf('symlink', ` -> ${target}`);
    }
    case '3':
      // The union's own whiteout.
      if (major === 0 && minor === 0) throw new Refused();
      return leaf('device', ` c${major}:${minor}`);
    case '4':
      return leaf('device', ` b${major}:${minor}`);
    case '6':
      return leaf('fifo', '');
    default:
      return leaf('file', ` ${JSON.stringify(data)}`);
  }
}
