import { type ByteString } from '../../fs/sys/bytes.ts';
import { type Xattrs } from './entry-metadata.ts';
import { PAX_XATTR, type Timestamp } from './pax.ts';

const BLOCK = 512;
const NAME = 100;
const HIGHEST_OCTAL_ID = 0o7777777;
const HIGHEST_OCTAL = 0o77777777777;
const NOT_ASCII = /[^\0-\x7f]/;

export type WrittenType = 'file' | 'directory' | 'link' | 'symlink' | 'character-device' | 'block-device' | 'fifo';

const TYPE_FLAGS: Readonly<Record<WrittenType, string>> = {
  file: '0',
  link: '1',
  symlink: '2',
  'character-device': '3',
  'block-device': '4',
  directory: '5',
  fifo: '6',
};

/** What the header of an entry says. */
export interface TarHeader {
  /** A directory's ends with a slash. */
  readonly name: ByteString;
  readonly type: WrittenType;
  /** Permission, set-id and sticky bits. */
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  /** Bytes of data that follow; 0 for all but files. */
  readonly size: number;
  readonly mtime: Timestamp;
  readonly linkname: ByteString;
  readonly major: number;
  readonly minor: number;
  readonly xattrs: Xattrs;
}

/**
 * The header of an entry in PAX form (POSIX.1-2001): a ustar header, before it the records for what does not fit into
 * one: long names and such that are not ASCII, as the bytes that they are, large numbers, parts of seconds, and extended
 * attributes in star's form. The same entry gives the same bytes on every machine.
 */
export function encodeHeader(header: TarHeader): Buffer {
  const records = paxRecords(header);
  if (records.length === 0) return ustarBlock(header);
  const body = Buffer.from(records.map(([key, value]) => paxRecord(key, value)).join(''), 'latin1');
  const attached = ustarBlock({ ...PLAIN_ENTRY, name: `PaxHeaders/${lastName(header.name)}`, size: body.length }, 'x');
  return Buffer.concat([attached, body, padding(body.length), ustarBlock(header)]);
}

/** An entry with no owner and no time: the same files make the same archive, whoever writes it and whenever. */
export const PLAIN_ENTRY: Omit<TarHeader, 'name' | 'size'> = {
  type: 'file',
  mode: 0o644,
  uid: 0,
  gid: 0,
  mtime: { seconds: 0, nanoseconds: 0 },
  linkname: '',
  major: 0,
  minor: 0,
  xattrs: new Map(),
};

/** Zeros up to the next block, behind `size` bytes of data. */
export function padding(size: number): Buffer {
  return Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
}

/** What every archive ends with. */
export function archiveEnd(): Buffer {
  return Buffer.alloc(2 * BLOCK);
}

function paxRecords(header: TarHeader): [key: string, value: ByteString][] {
  const { name, linkname, size, uid, gid, mtime } = header;
  const records: [string, ByteString][] = [];
  if (needsRecord(name)) records.push(['path', name]);
  if (needsRecord(linkname)) records.push(['linkpath', linkname]);
  if (size > HIGHEST_OCTAL) records.push(['size', String(size)]);
  if (uid > HIGHEST_OCTAL_ID) records.push(['uid', String(uid)]);
  if (gid > HIGHEST_OCTAL_ID) records.push(['gid', String(gid)]);
  if (mtime.nanoseconds !== 0 || !fitsOctal(mtime.seconds, HIGHEST_OCTAL)) records.push(['mtime', formatTime(mtime)]);
  for (const [xattr, value] of header.xattrs) records.push([PAX_XATTR + xattr, value]);
  return records.sort(([one], [other]) => (one < other ? -1 : 1));
}

function needsRecord(name: ByteString): boolean {
  return name.length > NAME || NOT_ASCII.test(name);
}

function fitsOctal(value: number, highest: number): boolean {
  return value >= 0 && value <= highest;
}

/** `LENGTH KEY=VALUE\n`, where the length counts its own digits. */
function paxRecord(key: string, value: ByteString): ByteString {
  const rest = ` ${key}=${value}\n`;
  let length = rest.length;
  while (String(length).length + rest.length !== length) length = String(length).length + rest.length;
  return `${length}${rest}`;
}

/** Nanoseconds count upward also before 1970; the number written has one sign for all of it. */
function formatTime({ seconds, nanoseconds }: Timestamp): string {
  if (nanoseconds === 0) return String(seconds);
  const isNegative = seconds < 0;
  const whole = isNegative ? -(seconds + 1) : seconds;
  const fraction = isNegative ? 1_000_000_000 - nanoseconds : nanoseconds;
  return `${isNegative ? '-' : ''}${whole}.${String(fraction).padStart(9, '0').replace(/0+$/, '')}`;
}

function lastName(name: ByteString): ByteString {
  return name.replace(/\/$/, '').split('/').at(-1) ?? '';
}

function ustarBlock(header: Omit<TarHeader, 'xattrs'>, flag = TYPE_FLAGS[header.type]): Buffer {
  const block = Buffer.alloc(BLOCK);
  writeName(block, 0, header.name);
  writeOctal(block, 100, 8, header.mode);
  writeOctal(block, 108, 8, header.uid);
  writeOctal(block, 116, 8, header.gid);
  writeOctal(block, 124, 12, header.size);
  writeOctal(block, 136, 12, header.mtime.seconds);
  block.write(flag, 156, 'latin1');
  writeName(block, 157, header.linkname);
  block.write('ustar\x0000', 257, 'latin1');
  writeOctal(block, 329, 8, header.major);
  writeOctal(block, 337, 8, header.minor);
  writeChecksum(block);
  return block;
}

/** As much as there is room for, of what every reader can show; the whole name is in a PAX record then. */
function writeName(block: Buffer, at: number, name: ByteString): void {
  if (!needsRecord(name)) {
    block.write(name, at, 'latin1');
    return;
  }
  const shown = name.replace(/[^\0-\x7f]/g, '').slice(0, NAME);
  // A file whose name is cut off behind a slash would pass for a directory with readers of the oldest form.
  block.write(shown.replace(/\/+$/, ''), at, 'latin1');
}

/** What does not fit is in a PAX record, and 0 here. */
function writeOctal(block: Buffer, at: number, width: number, value: number): void {
  const digits = width - 1;
  const fits = fitsOctal(value, 8 ** digits - 1);
  block.write((fits ? value : 0).toString(8).padStart(digits, '0'), at, 'latin1');
}

function writeChecksum(block: Buffer): void {
  block.fill(' ', 148, 156);
  let sum = 0;
  for (const byte of block) sum += byte;
  block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
}
