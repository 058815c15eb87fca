import { isOpaque } from '../../fs/layer-format.ts';
import { type ByteString, toText } from '../../fs/sys/bytes.ts';
import { DT_DIR, DT_UNKNOWN, O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from '../../fs/sys/constants.ts';
import { readDirectory } from '../../fs/sys/directory.ts';
import { check } from '../../fs/sys/errno.ts';
import { close, openat } from '../../fs/sys/file.ts';
import { SELF, getxattrText } from '../../fs/sys/xattr.ts';
import { type OwnerRecords, ownerRecordsOf } from '../image/layer-file.ts';
import { type SourceFile } from '../image/pack.ts';
import { DirectoryStack, type Found, entryIn, isHidden, namesIn } from './layer-view.ts';
import { type LinkNode, LinkedNames, NO_LINKS } from './linked-names.ts';

// What an upper changed, read without mounting it: only the upper is walked, and of the layers below what it redirects
// to. So the work is in proportion to the changes, a container that runs needs no second mount, and one whose daemon has
// died can be read all the same.

/** One thing that the union shows otherwise than the layers below the upper. */
export type TreeChange = Deletion | Presence;

interface Deletion {
  readonly kind: 'D';
  /** Without slashes around it; names are bytes. */
  readonly path: ByteString;
  /** Its directory hides all that the layers below have there: it need not be said of each. */
  readonly implied: boolean;
}

/** Open files in it are good until the next change is asked for. */
interface Presence {
  /** Added, or changed: the layers below have something of that name. */
  readonly kind: 'A' | 'C';
  readonly path: ByteString;
  readonly source: SourceFile;
  /** Where a file's data is, if not in itself. */
  readonly data: SourceFile | undefined;
  /** A directory that the layers below have, too, and of which nothing shows through. */
  readonly opaque: boolean;
  /** The source is in a layer below the upper: what is here was moved. */
  readonly moved: boolean;
}

/** Layers of which the upper's changes are told. */
export interface ChangedLayers {
  readonly upper: ByteString;
  /** The upper's workdir. */
  readonly work: ByteString;
  /** Absolute paths, the topmost first. */
  readonly lowers: readonly ByteString[];
}

const OPEN = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/** A directory of the union. */
interface Level {
  readonly path: ByteString;
  /** The upper's directory, where it has one. */
  readonly upper: number | undefined;
  /** What shows through below it: under its own name, or from where it was moved. */
  readonly below: DirectoryStack | undefined;
  /** What the layers below have in this place: `below` itself, unless the directory hides it. */
  readonly replaced: DirectoryStack | undefined;
  /** Names below that changed without being in the upper. */
  readonly links: LinkNode;
}

/**
 * All changes, in the order of paths, a directory before what is in it. The root itself is none; directories on the way to
 * a change are.
 *
 * @param keepsLinks whoever makes files of the changes needs all names of a lower file of which one was moved with its
 *   directory, though the others did not change: else they would part.
 */
export function* changesOf(layers: ChangedLayers, keepsLinks = false): Generator<TreeChange, void, undefined> {
  const lowers = DirectoryStack.open(layers.lowers, true);
  const upper = check(openat(-1, layers.upper, OPEN), `open ${toText(layers.upper)}`);
  const linked = LinkedNames.open(layers.work);
  try {
    const walk = new Walk(lowers, ownerRecordsOf(upper), linked);
    const root = { path: '', upper, below: isOpaque(upper) ? undefined : lowers, replaced: lowers };
    // Known once all that was moved is.
    if (keepsLinks && hasRedirect(upper)) {
      for (const change of walk.directory({ ...root, links: NO_LINKS })) walk.note(change);
    }
    yield* walk.directory({ ...root, links: linked.find(lowers) });
  } finally {
    linked.close();
    close(upper);
    lowers.close();
  }
}

class Walk {
  readonly #lowers: DirectoryStack;
  readonly #records: OwnerRecords;
  readonly #linked: LinkedNames;

  constructor(lowers: DirectoryStack, records: OwnerRecords, linked: LinkedNames) {
    this.#lowers = lowers;
    this.#records = records;
    this.#linked = linked;
  }

  note(change: TreeChange): void {
    if (change.kind !== 'D' && change.moved) this.#linked.note(change.source);
  }

  *directory(level: Level): Generator<TreeChange, void, undefined> {
    for (const name of namesOf(level)) {
      const found: Found = level.replaced?.find(name) ?? { kind: 'absent' };
      try {
        yield* this.#entry(level, name, found);
      } finally {
        if (found.kind === 'directory') found.stack.close();
      }
    }
  }

  /** @param was what the layers below have there. */
  *#entry(level: Level, name: ByteString, was: Found): Generator<TreeChange, void, undefined> {
    const path = level.path === '' ? name : `${level.path}/${name}`;
    const entry = level.upper === undefined ? 'absent' : entryIn(level.upper, name);
    if (entry === 'directory' && level.upper !== undefined) {
      yield* this.#upperDirectory(level, level.upper, name, path, was);
    } else if (entry === 'absent') {
      yield* this.#lowerEntry(level, name, path, was);
    } else if (entry === 'whiteout' || level.upper === undefined) {
      if (was.kind !== 'absent') yield deletion(level, path);
    } else {
      const source = { dirfd: level.upper, name, records: this.#records };
      const parent = this.#metacopyParent(level, level.upper, name);
      const data = parent === undefined ? undefined : this.#dataIn(parent.stack, parent.name, path);
      yield { ...presence(path, was), source, data };
      if (parent?.isOwn === true) parent.stack.close();
    }
  }

  *#upperDirectory(
    level: Level,
    parent: number,
    name: ByteString,
    path: ByteString,
    was: Found,
  ): Generator<TreeChange, void, undefined> {
    const upper = check(openat(parent, name, OPEN), `open directory ${toText(path)} of the upper`);
    const replaced = was.kind === 'directory' ? was.stack : undefined;
    const own = this.#belowDirectory(level, parent, name, upper, path);
    const below = own === 'replaced' ? replaced : own;
    try {
      const source = { dirfd: upper, name: SELF, records: this.#records };
      yield { ...presence(path, was), source, opaque: replaced !== undefined && below !== replaced };
      yield* this.directory({ path, upper, below, replaced, links: linksIn(level, name) });
    } finally {
      if (below !== replaced) below?.close();
      close(upper);
    }
  }

  /** What shows through in a directory of the upper; the caller's to close, but for `replaced`. */
  #belowDirectory(
    level: Level,
    parent: number,
    name: ByteString,
    upper: number,
    path: ByteString,
  ): DirectoryStack | 'replaced' | undefined {
    if (isOpaque(upper) || isHidden(parent, name)) return undefined;
    const redirect = readMark(upper, SELF, 'redirect');
    if (redirect === undefined && level.below === level.replaced) return 'replaced';
    if (redirect?.startsWith('/') === true) return this.#lowers.openPath(componentsOf(redirect, path));
    const found = level.below?.find(redirect ?? name);
    return found?.kind === 'directory' ? found.stack : undefined;
  }

  /** A name that the upper does not have. */
  *#lowerEntry(level: Level, name: ByteString, path: ByteString, was: Found): Generator<TreeChange, void, undefined> {
    if (level.below === level.replaced) {
      yield* this.#linkedEntry(level, name, path, was);
      return;
    }
    const found = level.below?.find(name) ?? { kind: 'absent' };
    if (found.kind === 'absent') {
      if (was.kind !== 'absent') yield deletion(level, path);
    } else if (found.kind === 'directory') {
      yield* this.#movedDirectory(level, name, path, was, found.stack);
    } else {
      const copied = this.#linked.copyOf(found.source, this.#records);
      yield { ...presence(path, was), source: copied ?? found.source, moved: copied === undefined };
    }
  }

  *#movedDirectory(
    level: Level,
    name: ByteString,
    path: ByteString,
    was: Found,
    below: DirectoryStack,
  ): Generator<TreeChange, void, undefined> {
    const replaced = was.kind === 'directory' ? was.stack : undefined;
    try {
      const source = below.top;
      if (source === undefined) return;
      yield { ...presence(path, was), source, opaque: replaced !== undefined };
      yield* this.directory({ path, upper: undefined, below, replaced, links: linksIn(level, name) });
    } finally {
      below.close();
    }
  }

  /** A lower name of a file that changed under another one, or a directory on the way to such. */
  *#linkedEntry(level: Level, name: ByteString, path: ByteString, was: Found): Generator<TreeChange, void, undefined> {
    if (was.kind === 'absent' || level.links.children.get(name) === undefined) return;
    if (was.kind !== 'directory') {
      const copied = this.#linked.copyOf(was.source, this.#records);
      yield { ...presence(path, was), source: copied ?? was.source };
      return;
    }
    const source = was.stack.top;
    if (source === undefined) return;
    yield { ...presence(path, was), source };
    const links = linksIn(level, name);
    yield* this.directory({ path, upper: undefined, below: was.stack, replaced: was.stack, links });
  }

  /** Where the lower file is that has a metacopy's data. */
  #metacopyParent(level: Level, upper: number, name: ByteString): DataPlace | undefined {
    if (readMark(upper, name, 'metacopy') === undefined) return undefined;
    const redirect = readMark(upper, name, 'redirect');
    if (redirect?.startsWith('/') !== true) {
      return level.below === undefined ? undefined : { stack: level.below, name: redirect ?? name, isOwn: false };
    }
    const path = componentsOf(redirect, name);
    const stack = this.#lowers.openPath(path.slice(0, -1));
    return stack === undefined ? undefined : { stack, name: path.at(-1) ?? '', isOwn: true };
  }

  #dataIn(stack: DirectoryStack, name: ByteString, path: ByteString): SourceFile {
    const found = stack.find(name);
    if (found.kind === 'other') return found.source;
    if (found.kind === 'directory') found.stack.close();
    throw new Error(`the data of ${JSON.stringify(toText(path))}, which is in a layer below, is not there`);
  }
}

/** A directory of the layers below, and a name in it. */
interface DataPlace {
  readonly stack: DirectoryStack;
  readonly name: ByteString;
  /** The stack is to be closed by whoever was given it. */
  readonly isOwn: boolean;
}

function presence(path: ByteString, was: Found): Omit<Presence, 'source'> {
  return { kind: was.kind === 'absent' ? 'A' : 'C', path, data: undefined, opaque: false, moved: false };
}

function deletion(level: Level, path: ByteString): Deletion {
  return { kind: 'D', path, implied: level.below !== level.replaced };
}

function linksIn(level: Level, name: ByteString): LinkNode {
  return level.links.children.get(name) ?? NO_LINKS;
}

/** Names to be looked at, sorted by their bytes. */
function namesOf({ upper, below, replaced, links }: Level): ByteString[] {
  const names = upper === undefined ? new Set<ByteString>() : namesIn(upper);
  for (const name of links.children.keys()) names.add(name);
  if (below !== replaced) {
    for (const stack of [below, replaced]) for (const name of stack?.names() ?? []) names.add(name);
  }
  return [...names].sort();
}

const PREFIXES = ['trusted.overlay.', 'user.overlay.'] as const;

/** What the union noted on a file, under the prefix that it could use. */
function readMark(dirfd: number, name: ByteString, mark: 'redirect' | 'metacopy'): ByteString | undefined {
  for (const prefix of PREFIXES) {
    const value = getxattrText(dirfd, name, prefix + mark);
    if (typeof value === 'string') return value;
  }
  return undefined;
}

/** Whether any directory of the upper was moved. */
function hasRedirect(fd: number): boolean {
  const names: ByteString[] = [];
  const fresh = check(openat(fd, '.', OPEN), 'open a directory of the upper');
  const status = readDirectory(fresh, (name, type) => {
    if (type === DT_DIR || type === DT_UNKNOWN) names.push(name);
  });
  close(fresh);
  check(status, 'read a directory of the upper');
  return names.some((name) => {
    const directory = openat(fd, name, OPEN);
    if (directory < 0) return false;
    const found = readMark(directory, SELF, 'redirect') !== undefined || hasRedirect(directory);
    close(directory);
    return found;
  });
}

function componentsOf(redirect: ByteString, path: ByteString): ByteString[] {
  const components = redirect.slice(1).split('/');
  const isBad = components.some((name) => name === '' || name === '.' || name === '..');
  if (!isBad) return components;
  throw new Error(
    `${JSON.stringify(toText(path))} of the upper has a redirect that leads nowhere; "lamina fsck" tells more`,
  );
}
