import { DOT_OPAQUE, DOT_WHITEOUT, isOpaque } from '../../fs/layer-format.ts';
import { type ByteString, toText } from '../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_DIRECTORY, O_NOFOLLOW, O_RDONLY } from '../../fs/sys/constants.ts';
import { check } from '../../fs/sys/errno.ts';
import { close, openat } from '../../fs/sys/file.ts';
import { SELF } from '../../fs/sys/xattr.ts';
import { type ByteSource } from '../image/compression.ts';
import { type OwnerRecords, ownerRecordsOf } from '../image/layer-file.ts';
import { inBlocks, Packer, type PackOptions, type SourceFile } from '../image/pack.ts';
import { archiveEnd } from '../image/tar-writer.ts';
import { DirectoryStack, entryIn, isHidden, namesIn } from './layer-view.ts';

type Chunks = Generator<Uint8Array, void, undefined>;

const OPEN = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/** A directory of a layer, held open. */
interface Member {
  readonly fd: number;
  readonly records: OwnerRecords;
}

/** What some layers, taken together as one, have under a name. */
type Entry =
  | { readonly kind: 'absent' | 'whiteout' }
  | { readonly kind: 'file'; readonly source: SourceFile }
  /** `hides`: nothing of layers below shows through. */
  | { readonly kind: 'directory'; readonly members: readonly Member[]; readonly hides: boolean };

/**
 * Several layers as one: the archive that does to what lies below what they do one after the other. Whiteouts and opaque
 * directories stay where there is something below for them to hide.
 *
 * @param range absolute paths of unpacked layers, the topmost first; what an opaque root hides may be left out.
 * @param lowers the layers below these, likewise.
 */
export function packRange(
  range: readonly ByteString[],
  lowers: readonly ByteString[],
  options: PackOptions,
): ByteSource {
  return inBlocks(rangeChunks(range, lowers, options));
}

function* rangeChunks(range: readonly ByteString[], lowers: readonly ByteString[], options: PackOptions): Chunks {
  const packer = new Packer(options);
  const members: Member[] = [];
  const below = DirectoryStack.open(lowers);
  try {
    const hides = openRoots(range, members);
    const isAbove = below.top !== undefined;
    yield* directoryChunks(packer, '', { members, hides }, isAbove ? below : undefined);
  } finally {
    below.close();
    closeAll(members);
  }
  yield archiveEnd();
}

/** Opens the layers' roots down to an opaque one; answers whether there is one. */
function openRoots(range: readonly ByteString[], members: Member[]): boolean {
  for (const layer of range) {
    const fd = check(openat(-1, layer, OPEN), `open layer ${toText(layer)}`);
    members.push({ fd, records: ownerRecordsOf(fd) });
    if (isOpaque(fd)) return true;
  }
  return false;
}

type Directory = Omit<Extract<Entry, { readonly kind: 'directory' }>, 'kind'>;

/** A directory with all in it. */
function* directoryChunks(
  packer: Packer,
  path: ByteString,
  { members, hides }: Directory,
  below: DirectoryStack | undefined,
): Chunks {
  const [top] = members;
  if (top === undefined) return;
  yield* packer.add({ dirfd: top.fd, name: SELF, records: top.records }, path);
  if (hides && below !== undefined) yield* packer.addMark(join(path, DOT_OPAQUE));
  const names = new Set(members.flatMap(({ fd }) => [...namesIn(fd)]));
  for (const name of [...names].sort()) yield* entryChunks(packer, path, name, members, hides ? undefined : below);
}

function* entryChunks(
  packer: Packer,
  parent: ByteString,
  name: ByteString,
  members: readonly Member[],
  below: DirectoryStack | undefined,
): Chunks {
  const path = join(parent, name);
  const entry = entryOf(members, name);
  if (entry.kind === 'file') yield* packer.add(entry.source, path);
  if (entry.kind === 'whiteout' && below?.has(name) === true) yield* packer.addMark(join(parent, DOT_WHITEOUT + name));
  if (entry.kind !== 'directory') return;
  const lower = below?.find(name);
  const stack = lower?.kind === 'directory' ? lower.stack : undefined;
  try {
    yield* directoryChunks(packer, path, entry, stack);
  } finally {
    stack?.close();
    closeAll(entry.members);
  }
}

function entryOf(members: readonly Member[], name: ByteString): Entry {
  const merged: Member[] = [];
  for (const { fd, records } of members) {
    const entry = entryIn(fd, name);
    if (entry === 'absent') continue;
    if (entry !== 'directory') {
      if (merged.length > 0) return { kind: 'directory', members: merged, hides: true };
      return entry === 'whiteout' ? { kind: 'whiteout' } : { kind: 'file', source: { dirfd: fd, name, records } };
    }
    const directory = check(openat(fd, name, OPEN), `open directory ${toText(name)} of a layer`);
    merged.push({ fd: directory, records });
    if (isOpaque(directory) || isHidden(fd, name)) return { kind: 'directory', members: merged, hides: true };
  }
  return merged.length === 0 ? { kind: 'absent' } : { kind: 'directory', members: merged, hides: false };
}

function closeAll(members: readonly Member[]): void {
  for (const { fd } of members) close(fd);
}

function join(path: ByteString, name: ByteString): ByteString {
  return path === '' ? name : `${path}/${name}`;
}
