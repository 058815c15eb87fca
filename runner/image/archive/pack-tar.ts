import { NO_XATTRS } from '../entry-metadata.ts';
import { archiveEnd, encodeHeader, padding, type TarHeader } from '../tar-writer.ts';
import { type ArchiveFiles } from './files.ts';

/** No owner and no time: the same files make the same archive, whoever writes it and whenever. */
const CONSTANT: Omit<TarHeader, 'name' | 'size'> = {
  type: 'file',
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtime: { seconds: 0, nanoseconds: 0 },
  linkname: '',
  major: 0,
  minor: 0,
  xattrs: NO_XATTRS,
};

/** A tar archive of the files, as it is asked for: at no time is more than a piece of one file in memory. */
export async function* packTar(files: ArchiveFiles): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const { name, size, content } of files) {
    yield encodeHeader({ ...CONSTANT, name, size });
    yield* content;
    yield padding(size);
  }
  yield archiveEnd();
}
