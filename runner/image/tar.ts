import { once } from 'node:events';

import { extract as createExtract, type Extract, type ExtractEvents, type Header } from 'tar-stream';

import { type ByteString, toText } from '../../fs/sys/bytes.ts';
import { type ByteSource } from './compression.ts';
import { type Limits, overLimit } from './limits.ts';
import { expandSparse } from './sparse.ts';
import { type PaxRecords, parsePaxNumber, parsePaxTime, type Timestamp } from './pax.ts';
import { type Frame, TarFrames } from './tar-frames.ts';

type EntryType = 'file' | 'directory' | 'link' | 'symlink' | 'character-device' | 'block-device' | 'fifo';

/** One entry of an archive: names are bytes, numbers are checked, nothing of it is to be trusted. */
export interface TarEntry {
  readonly name: ByteString;
  readonly type: EntryType;
  /** Permission, set-id and sticky bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of data; 0 for all but files. */
  readonly size: number;
  /** It has holes, which are no bytes of the archive: nothing keeps its size in proportion. */
  readonly isSparse: boolean;
  readonly mtime: Timestamp;
  readonly linkname: ByteString;
  readonly major: number;
  readonly minor: number;
  readonly pax: PaxRecords | undefined;
  /** To be read, if at all, before the visitor returns. */
  readonly data: ByteSource;
}

/** An id of 2^32-1 means "leave as it is" to chown(2). */
const HIGHEST_ID = 0xfffffffe;

type Source = ExtractEvents['entry'][1];

/** What a header can be where its archive is not what tar-stream's types promise. */
type ParsedHeader = { readonly [Key in keyof Omit<Header, 'type'>]: Header[Key] | null } & {
  readonly name: string;
  readonly type: string | null;
};

// Names as bytes, one character each; and pre-POSIX headers, which their checksum vouches for. (The types know neither.)
const OPTIONS = { filenameEncoding: 'latin1', allowUnknownFormat: true } as Parameters<typeof createExtract>[0];

const TYPES: Readonly<Record<string, EntryType>> = {
  file: 'file',
  'contiguous-file': 'file',
  directory: 'directory',
  link: 'link',
  symlink: 'symlink',
  'character-device': 'character-device',
  'block-device': 'block-device',
  fifo: 'fifo',
};

/**
 * Visits the entries of a tar archive one after the other, and reads `source` to its end also where the archive ends
 * earlier.
 *
 * @returns whether the archive had its end marker; one without may be cut off between two entries.
 */
export async function readTar(
  source: ByteSource,
  limits: Limits,
  visit: (entry: TarEntry) => Promise<void> | void,
): Promise<boolean> {
  const extract = createExtract(OPTIONS);
  const frames = new TarFrames(limits);
  const feeding = feed(source, frames, extract);
  let entries = 0;
  for await (const stream of extract) {
    entries += 1;
    if (entries > limits.entries) throw overLimit('the number of entries in the archive', limits, 'entries');
    await visit(createEntry(stream, frames.shift(), limits));
    stream.resume();
  }
  await feeding;
  return frames.ended;
}

async function feed(source: ByteSource, frames: TarFrames, extract: Extract): Promise<void> {
  const closed = once(extract, 'close').catch(() => undefined);
  try {
    for await (const chunk of source) {
      for (const part of frames.push(chunk)) {
        if (!extract.write(part)) await Promise.race([once(extract, 'drain'), closed]);
        if (extract.destroyed) return;
      }
    }
    if (!frames.isWhole) throw new Error('the archive ends early: it is truncated');
    extract.end(undefined);
  } catch (error) {
    extract.destroy(error instanceof Error ? error : new Error(String(error)));
  }
}

function createEntry(stream: Source, frame: Frame, limits: Limits): TarEntry {
  const header: ParsedHeader = stream.header;
  const { pax, sparse } = frame;
  const name = sparse?.name || pax?.get('path') || header.name;
  try {
    const type = typeOf(header, frame, name);
    return {
      name,
      type,
      mode: checkedNumber(header.mode, 'mode', Number.MAX_SAFE_INTEGER) & 0o7777,
      uid: idOf(pax, header.uid, 'uid'),
      gid: idOf(pax, header.gid, 'gid'),
      size: type === 'file' ? (sparse?.size ?? frame.size) : 0,
      isSparse: sparse !== undefined,
      mtime: mtimeOf(pax, frame.mtime),
      linkname: pax?.get('linkpath') || (header.linkname ?? ''),
      major: checkedNumber(header.devmajor, 'device major', 0xfff),
      minor: checkedNumber(header.devminor, 'device minor', 0xfffff),
      pax,
      data: dataOf(stream as ByteSource, frame, type, limits),
    };
  } catch (error) {
    throw entryError(name, error);
  }
}

const NOTHING: ByteSource = {
  [Symbol.asyncIterator]: () => ({ next: () => Promise.resolve({ done: true, value: undefined }) }),
};

function dataOf(stream: ByteSource, { sparse }: Frame, type: EntryType, limits: Limits): ByteSource {
  // A directory may have a size, but never has data: tar-stream's stream of it has no end.
  if (type !== 'file') return NOTHING;
  return sparse === undefined ? stream : expandSparse(stream, sparse, limits);
}

/** An error about one entry, which it names. */
export function entryError(name: ByteString, error: unknown): Error {
  const shown = name.length > 200 ? `${name.slice(0, 200)}...` : name;
  const why = error instanceof Error ? error.message : String(error);
  return new Error(`entry ${JSON.stringify(toText(shown))}: ${why}`, { cause: error });
}

function typeOf(header: ParsedHeader, frame: Frame, name: ByteString): EntryType {
  const parsed = header.type === null ? undefined : TYPES[header.type];
  if (parsed === undefined) {
    const letter = String.fromCharCode(frame.type);
    throw new Error(`entries of type ${JSON.stringify(letter)} cannot be unpacked`);
  }
  // Archives older than POSIX mark a directory by a slash at the end of its name alone.
  const type = parsed === 'file' && name.endsWith('/') ? 'directory' : parsed;
  if (frame.sparse !== undefined && type !== 'file') throw new Error('it is sparse, and no file');
  if (header.size !== frame.size || (frame.size !== 0 && type !== 'file' && parsed !== 'directory')) {
    throw new Error('its size is ambiguous: the readers of tar archives would disagree about it');
  }
  return type;
}

function checkedNumber(value: number | null, what: string, highest: number): number {
  const number = value ?? 0;
  if (!Number.isInteger(number) || number < 0 || number > highest) throw new Error(`its ${what} is out of range`);
  return number;
}

function idOf(pax: PaxRecords | undefined, inHeader: number | null, key: 'uid' | 'gid'): number {
  const record = pax?.get(key);
  const value = record === undefined || record === '' ? inHeader : parsePaxNumber(record, key);
  return checkedNumber(value, key, HIGHEST_ID);
}

function mtimeOf(pax: PaxRecords | undefined, inHeader: number): Timestamp {
  const record = pax?.get('mtime');
  if (record !== undefined && record !== '') return parsePaxTime(record, 'mtime');
  if (!Number.isSafeInteger(inHeader)) throw new Error('its time is out of range');
  return { seconds: inHeader, nanoseconds: 0 };
}
