import { type ByteString } from '../../fs/sys/bytes.ts';

// POSIX ACLs as star, GNU tar and libarchive put them into PAX records, and as the kernel takes them
// (include/uapi/linux/posix_acl_xattr.h).

/** Records with the text of an ACL, and the extended attributes that it is. */
export const ACL_RECORDS: ReadonlyMap<string, ByteString> = new Map([
  ['SCHILY.acl.access', 'system.posix_acl_access'],
  ['SCHILY.acl.default', 'system.posix_acl_default'],
]);

const VERSION = 2;
const UNDEFINED_ID = 0xffffffff;
const HIGHEST_ID = 0xfffffffe;

/** Letters, the tag of an entry for the owner or all, and that of one for somebody named. */
const TAGS: readonly (readonly [form: RegExp, own: number, named: number])[] = [
  [/^u(?:ser)?$/, 0x01, 0x02],
  [/^g(?:roup)?$/, 0x04, 0x08],
  [/^m(?:ask)?$/, 0x10, 0],
  [/^o(?:ther)?$/, 0x20, 0],
];

interface AclEntry {
  readonly tag: number;
  readonly permissions: number;
  readonly id: number;
}

/** An ACL for the kernel. */
export interface Acl {
  readonly xattr: ByteString;
  /** Entries for users and groups that have a name here and no number. */
  readonly nameless: number;
}

/**
 * Reads `user::rw-,user:daemon:r--:1,group::r--,mask::r--,other::---`, the fourth field being star's. A name is not looked
 * up: this machine's users are not the image's.
 */
export function parseAcl(text: ByteString): Acl {
  const entries: AclEntry[] = [];
  let nameless = 0;
  for (const line of text.split(/[,\n]/)) {
    const entry = line.replace(/#.*/, '').trim();
    if (entry === '') continue;
    const parsed = parseEntry(entry);
    if (parsed === undefined) nameless += 1;
    else entries.push(parsed);
  }
  // The kernel wants the tags in this order.
  entries.sort((one, other) => one.tag - other.tag || one.id - other.id);
  return { xattr: encode(entries), nameless };
}

function parseEntry(entry: ByteString): AclEntry | undefined {
  const fields = entry.split(':');
  const [, own = 0, named = 0] = TAGS.find(([form]) => form.test(fields[0] ?? '')) ?? [];
  // The name may be left out altogether where there can be none.
  const [who = '', letters = '', number] = fields.length === 2 ? ['', fields[1]] : fields.slice(1);
  const permissions = /^[r-][w-][x-]$/.test(letters) ? permissionsOf(letters) : undefined;
  if (own === 0 || permissions === undefined || fields.length > 4 || (named === 0 && who !== '')) {
    throw new Error('it has an ACL that is malformed');
  }
  if (who === '') return { tag: own, permissions, id: UNDEFINED_ID };
  const id = [number, who].find((candidate) => /^\d{1,10}$/.test(candidate ?? ''));
  if (id === undefined) return undefined;
  if (Number(id) > HIGHEST_ID) throw new Error('it has an ACL with an id out of range');
  return { tag: named, permissions, id: Number(id) };
}

function permissionsOf(letters: string): number {
  return Array.from(letters).reduce((bits, letter) => bits * 2 + (letter === '-' ? 0 : 1), 0);
}

function encode(entries: readonly AclEntry[]): ByteString {
  const bytes = Buffer.alloc(4 + 8 * entries.length);
  bytes.writeUInt32LE(VERSION);
  for (const [at, { tag, permissions, id }] of entries.entries()) {
    bytes.writeUInt16LE(tag, 4 + 8 * at);
    bytes.writeUInt16LE(permissions, 6 + 8 * at);
    bytes.writeUInt32LE(id, 8 + 8 * at);
  }
  return bytes.toString('latin1');
}
