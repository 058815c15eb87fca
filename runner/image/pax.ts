import { type ByteString } from '../../fs/sys/bytes.ts';

/** Records of one PAX extended header, values as bytes: a path need not be UTF-8, and a file capability never is. */
export type PaxRecords = ReadonlyMap<string, ByteString>;

/** Key of an extended attribute: this and its name (star's form, which docker, umoci and GNU tar write). */
export const PAX_XATTR = 'SCHILY.xattr.';

/** Seconds since 1970 and what lies beyond them; nanoseconds count upward also before 1970. */
export interface Timestamp {
  readonly seconds: number;
  readonly nanoseconds: number;
}

/**
 * Reads `LENGTH KEY=VALUE\n` records. What is malformed is refused: readers that guess on differ in what they guess.
 *
 * @param body the header's content, one character a byte.
 */
export function parsePax(body: ByteString): PaxRecords {
  const records = new Map<string, ByteString>();
  for (let at = 0; at < body.length;) {
    const space = body.indexOf(' ', at);
    const digits = space < 0 ? '' : body.slice(at, space);
    const length = /^[1-9][0-9]{0,9}$/.test(digits) ? Number(digits) : 0;
    const end = at + length;
    const equals = body.indexOf('=', space + 1);
    if (length === 0 || end > body.length || body[end - 1] !== '\n' || equals < 0 || equals >= end - 1) {
      throw new Error('PAX header is malformed');
    }
    add(records, body.slice(space + 1, equals), body.slice(equals + 1, end - 1));
    at = end;
  }
  return records;
}

// The last of several counts, but for these, of which GNU tar's sparse format 0.0 has one for each region.
const REPEATED: ReadonlySet<string> = new Set(['GNU.sparse.offset', 'GNU.sparse.numbytes']);

function add(records: Map<string, ByteString>, key: string, value: ByteString): void {
  const before = REPEATED.has(key) ? records.get(key) : undefined;
  records.set(key, before === undefined ? value : `${before},${value}`);
}

/** A non-negative decimal integer, exact as a double. */
export function parsePaxNumber(value: ByteString, key: string): number {
  const number = /^[0-9]{1,16}$/.test(value) ? Number(value) : Number.NaN;
  if (!Number.isSafeInteger(number)) throw new Error(`PAX record ${key} is not a number that can be used`);
  return number;
}

/** `-1.5` is 1.5 seconds before 1970: second -2, nanosecond 500,000,000. */
export function parsePaxTime(value: ByteString, key: string): Timestamp {
  const match = /^(-?)([0-9]{1,15})(?:\.([0-9]*))?$/.exec(value);
  if (match === null) throw new Error(`PAX record ${key} is not a time`);
  const whole = Number(match[2]);
  const fraction = Number((match[3] ?? '').slice(0, 9).padEnd(9, '0'));
  if (match[1] === '') return { seconds: whole, nanoseconds: fraction };
  return fraction === 0
    ? { seconds: 0 - whole, nanoseconds: 0 }
    : { seconds: -whole - 1, nanoseconds: 1_000_000_000 - fraction };
}
