import { DOT_OPAQUE, DOT_WHITEOUT } from '../../fs/layer-format.ts';
import { type ByteString, toText } from '../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../../fs/sys/constants.ts';
import { check } from '../../fs/sys/errno.ts';
import { close, openat } from '../../fs/sys/file.ts';
import { SELF } from '../../fs/sys/xattr.ts';
import { type ByteSource } from '../image/compression.ts';
import { describeFile, type FileDescription, ownerRecordsOf } from '../image/layer-file.ts';
import { inBlocks, type PackOptions, Packer, type SourceFile } from '../image/pack.ts';
import { archiveEnd } from '../image/tar-writer.ts';
import { type ChangedLayers, changesOf } from './changes.ts';
import { DirectoryStack } from './layer-view.ts';

type Chunks = Generator<Uint8Array, void, undefined>;

const OPEN = O_RDONLY | O_DIRECTORY | O_CLOEXEC;

/**
 * An upper as an OCI layer: the archive that turns what the layers below show into what the union shows. What only an
 * overlay can say is said in OCI's terms: whiteouts and opaque directories as `.wh.` names, a moved directory with all in
 * it, a metacopy with its data, a lower file of several names that changed with all its names. The same upper over the
 * same layers gives the same bytes.
 */
export function packUpper(layers: ChangedLayers, options: PackOptions): ByteSource {
  return inBlocks(upperChunks(layers, options));
}

function* upperChunks(layers: ChangedLayers, options: PackOptions): Chunks {
  const packer = new Packer(options);
  yield* rootChunks(layers, packer, options);
  let opaque: ByteString | undefined;
  for (const change of changesOf(layers, true)) {
    const { path } = change;
    if (change.kind === 'D') {
      if (!change.implied) yield* packer.addMark(whiteoutOf(path));
      continue;
    }
    yield* packer.add(change.source, path, change.data);
    // Within one that is opaque, another need not be.
    const isCovered = opaque !== undefined && path.startsWith(opaque);
    if (!change.opaque || isCovered) continue;
    opaque = `${path}/`;
    yield* packer.addMark(opaque + DOT_OPAQUE);
  }
  yield archiveEnd();
}

function whiteoutOf(path: ByteString): ByteString {
  const name = path.lastIndexOf('/') + 1;
  return path.slice(0, name) + DOT_WHITEOUT + path.slice(name);
}

/** The root, where it looks otherwise than below: its own look, and that of a mark on it. */
function* rootChunks(layers: ChangedLayers, packer: Packer, { warnings }: PackOptions): Chunks {
  const lowers = DirectoryStack.open(layers.lowers, true);
  const dirfd = check(openat(-1, layers.upper, OPEN), `open ${toText(layers.upper)}`);
  try {
    const upper: SourceFile = { dirfd, name: SELF, records: ownerRecordsOf(dirfd) };
    const describe = (file: SourceFile): FileDescription =>
      describeFile(file.dirfd, file.name, file.records, '', warnings);
    const { top } = lowers;
    if (top === undefined || !looksAlike(describe(upper), describe(top))) yield* packer.add(upper, '');
  } finally {
    close(dirfd);
    lowers.close();
  }
}

function looksAlike(one: FileDescription, other: FileDescription): boolean {
  const key = ({ mode, uid, gid, mtime, xattrs }: FileDescription): string =>
    JSON.stringify([mode, uid, gid, mtime.seconds, mtime.nanoseconds, [...xattrs].sort()]);
  return key(one) === key(other);
}
