import { type ByteString, toText } from '../../../fs/sys/bytes.ts';
import { O_DIRECTORY, O_RDONLY } from '../../../fs/sys/constants.ts';
import { close } from '../../../fs/sys/file.ts';
import { SELF } from '../../../fs/sys/xattr.ts';
import { type ByteSource } from '../../image/compression.ts';
import { REAL_OWNERS } from '../../image/layer-file.ts';
import { type Limits, NO_LIMITS } from '../../image/limits.ts';
import { type OwnerNames, packEntry } from '../../image/pack.ts';
import { readTar } from '../../image/tar.ts';
import { type Location, type Side, asksForContents, asksForDirectory, baseName, locate } from './side.ts';
import { TreeWriter, type WriteOptions, openBelow } from './tree-writer.ts';

/** One end of a copy. */
export interface End {
  readonly side: Side;
  readonly path: ByteString;
}

/** How a copy is made. */
export interface CopyOptions extends Omit<WriteOptions, 'limits'> {
  /** Copy what a symlink in the source's place leads to. */
  readonly followLink: boolean;
  /** Others are at work in the source: what is gone since its name was read is left out. */
  readonly isLive: boolean;
}

/** How an archive of a source is made. */
interface ArchiveOptions extends Pick<CopyOptions, 'followLink' | 'isLive' | 'warnings'> {
  /** Whom it names as owners; without it, those whom the files have. */
  readonly sourceOwners?: OwnerNames | undefined;
}

/** A source as an archive whose entries are named after it, or after nothing where it is `SRC/.`. */
export async function* archiveOf({ side, path }: End, options: ArchiveOptions): AsyncGenerator<Uint8Array> {
  const source = openSource({ side, path }, options);
  try {
    yield* pack(source, nameOf(path), options);
  } finally {
    release(source);
  }
}

function openSource(from: End, { followLink }: Pick<CopyOptions, 'followLink'>): Location {
  const source = locate(from.side, from.path, followLink || asksForDirectory(from.path));
  if (source.kind === 'absent') {
    release(source);
    throw new Error(`there is no ${show(from)}`);
  }
  return source;
}

function nameOf(path: ByteString): ByteString {
  return asksForContents(path) ? '' : baseName(path);
}

function pack(
  source: Location,
  name: ByteString,
  { warnings, isLive, sourceOwners }: Omit<ArchiveOptions, 'followLink'>,
): ByteSource {
  const file =
    source.kind === 'directory' ? { dirfd: source.fd, name: SELF } : { dirfd: source.parent, name: source.name };
  return packEntry({ ...file, records: REAL_OWNERS }, name, { warnings, isLive, dotNames: true, owners: sourceOwners });
}

function release(location: Location): void {
  close(location.kind === 'directory' ? location.fd : location.parent);
}

/** Copies a file, or a directory with all in it, as docker does: what it is called depends on what is there. */
export async function copy(from: End, to: End, options: CopyOptions): Promise<void> {
  const source = openSource(from, options);
  try {
    const target = locate(to.side, to.path, true);
    try {
      const name = targetName(source, target, from, to);
      const root = target.kind === 'directory' ? target.fd : target.parent;
      await write(pack(source, name, options), (path) => openBelow(root, path), { ...options, limits: NO_LIMITS });
    } finally {
      release(target);
    }
  } finally {
    release(source);
  }
}

/** What the copy is called in the target directory, or in that of the target; empty for the contents alone. */
function targetName(source: Location, target: Location, from: End, to: End): ByteString {
  if (target.kind === 'directory') return nameOf(from.path);
  const isDirectory = source.kind === 'directory';
  if (target.kind === 'other') {
    if (isDirectory) throw new Error(`${show(from)} is a directory, and ${show(to)} is none: cannot copy over it`);
    if (asksForDirectory(to.path)) throw new Error(`${show(to)} is not a directory`);
  } else if (asksForDirectory(to.path) && !isDirectory) {
    throw new Error(`there is no directory ${show(to)}: make it first, or leave out the slash at its end`);
  }
  return target.name;
}

function show({ side, path }: End): string {
  return `${side.label}${toText(path)}`;
}

/** Unpacks an archive into a directory that is there. */
export async function unpackInto(
  archive: ByteSource,
  to: End,
  options: WriteOptions & { readonly limits: Limits },
): Promise<void> {
  const target = locate(to.side, to.path, true);
  try {
    if (target.kind !== 'directory') throw new Error(`${show(to)} is not a directory that is there`);
    // The archive's paths may lead through symlinks of the container, inside of it.
    const base = to.path;
    const openPath = (path: readonly ByteString[]): number =>
      to.side.open([base, ...path].join('/'), O_RDONLY | O_DIRECTORY);
    await write(archive, openPath, options);
  } finally {
    release(target);
  }
}

async function write(
  archive: ByteSource,
  openPath: (path: readonly ByteString[]) => number,
  options: WriteOptions,
): Promise<void> {
  const writer = new TreeWriter(openPath, options);
  await readTar(archive, options.limits, (entry) => writer.add(entry));
  writer.finish();
}
