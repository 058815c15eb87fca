import { archiveEnd, encodeHeader, padding, PLAIN_ENTRY } from '../tar-writer.ts';
import { type ArchiveFiles } from './files.ts';

/** A tar archive of the files, as it is asked for: at no time is more than a piece of one file in memory. */
export async function* packTar(files: ArchiveFiles): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const { name, size, content } of files) {
    yield encodeHeader({ ...PLAIN_ENTRY, name, size });
    yield* content;
    yield padding(size);
  }
  yield archiveEnd();
}
