import { readSync } from 'node:fs';
import { Attr } from '../../../fs/sys/attr.ts';
import { O_NONBLOCK, O_RDONLY, S_IFMT, S_IFREG } from '../../../fs/sys/constants.ts';
import { ENOENT, check } from '../../../fs/sys/errno.ts';
import { close, fstat } from '../../../fs/sys/file.ts';
import { type KeptUser } from '../options/user-namespace.ts';
import { EXIT, type ProcessSpec, RunError } from '../spec.ts';
import { type Inside } from './inside.ts';
import { isOfKernel } from './mounting.ts';

/** Who the command runs as. */
export interface Account {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  readonly home: string;
  /** The container's /etc/passwd has a line for it. */
  readonly isListed: boolean;
}

interface PasswdLine {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
  readonly home: string;
}

interface GroupLine {
  readonly name: string;
  readonly gid: number;
  readonly members: readonly string[];
}

// The kernel takes more, but a number that turns negative in a 32-bit int has become root before (CVE-2024-40635).
const MAX_ID = 0x7fffffff;
const MAX_TABLE_BYTES = 16 * 1024 * 1024;
const CHUNK_BYTES = 64 * 1024;

/**
 * Finds `user[:group]` in the container's own /etc/passwd and /etc/group.
 *
 * A number need not be listed: its group is then 0 and its home /. Supplementary groups are those that list the user,
 * unless a group is asked for.
 *
 * @param besides names or numbers of groups that it is in, too.
 */
export function findAccount(
  inside: Inside,
  { user: wanted, kept, workdir }: Pick<ProcessSpec, 'user' | 'kept' | 'workdir'>,
  besides: readonly string[],
): Account {
  const [userPart = '', groupPart, ...rest] = wanted.split(':');
  if (rest.length > 0) throw refuse(`user ${JSON.stringify(wanted)} is not USER[:GROUP]`);
  const lines = parsePasswd(readTable(inside, '/etc/passwd'));
  const user = findUser([...lines, ...keptLines(kept, workdir)], userPart === '' ? '0' : userPart);
  const groups = parseGroups(readTable(inside, '/etc/group'));
  const { name, uid, gid, home } = user;
  const isListed = name !== '';
  const added = [...(kept === undefined ? [] : [kept.gid]), ...besides.map((group) => findGroup(groups, group))];
  if (groupPart) return { uid, gid: findGroup(groups, groupPart), groups: added, home, isListed };
  const memberOf = groups.filter(({ members }) => isListed && members.includes(name)).map((group) => group.gid);
  return { uid, gid, groups: [...new Set([...memberOf, ...added])], home, isListed };
}

/** The caller's own line, for where the container has none of his. */
function keptLines(kept: KeptUser | undefined, workdir: string): PasswdLine[] {
  if (kept === undefined) return [];
  const { uid, gid, name = '', home = workdir } = kept;
  return [{ name, uid, gid, home }];
}

function findUser(lines: readonly PasswdLine[], wanted: string): PasswdLine {
  const number = parseId(wanted, 'user');
  const named = lines.find(({ name }) => name === wanted) ?? lines.find(({ uid }) => uid === number);
  if (named !== undefined) return named;
  if (number !== undefined) return { name: '', uid: number, gid: 0, home: '/' };
  throw refuse(`no user ${JSON.stringify(wanted)} in the container's /etc/passwd`);
}

function findGroup(lines: readonly GroupLine[], wanted: string): number {
  const number = parseId(wanted, 'group');
  const named = lines.find(({ name }) => name === wanted);
  if (named !== undefined) return named.gid;
  if (number !== undefined) return number;
  throw refuse(`no group ${JSON.stringify(wanted)} in the container's /etc/group`);
}

function refuse(message: string): RunError {
  return new RunError(message, EXIT.cannotInvoke);
}

/** A number that may be an id, or undefined for a name. */
function parseId(text: string, kind: string): number | undefined {
  if (!/^[+-]?\d+$/.test(text)) return undefined;
  const id = /^\d+$/.test(text) ? Number(text) : -1;
  if (id >= 0 && id <= MAX_ID) return id;
  throw refuse(`${kind} id ${text} is not between 0 and ${MAX_ID}`);
}

export function parsePasswd(text: string): PasswdLine[] {
  return fieldsOf(text).flatMap(([name = '', , uid = '', gid = '', , home = '']) => {
    const [user, group] = [listedId(uid), listedId(gid)];
    return user === undefined || group === undefined ? [] : [{ name, uid: user, gid: group, home: home || '/' }];
  });
}

export function parseGroups(text: string): GroupLine[] {
  return fieldsOf(text).flatMap(([name = '', , gid = '', members = '']) => {
    const group = listedId(gid);
    return group === undefined ? [] : [{ name, gid: group, members: members.split(',') }];
  });
}

function listedId(text: string): number | undefined {
  const id = /^\d{1,10}$/.test(text) ? Number(text) : -1;
  return id >= 0 && id <= MAX_ID ? id : undefined;
}

function fieldsOf(text: string): string[][] {
  const lines = text.split('\n').map((line) => line.trim());
  return lines.filter((line) => line !== '' && !line.startsWith('#')).map((line) => line.split(':'));
}

const attr = new Attr();

/** Text of a table, empty where the image has none; only a regular file of a sane size is read. */
export function readTable(inside: Inside, path: string): string {
  const fd = inside.tryOpen(path, O_RDONLY | O_NONBLOCK);
  if (fd === -ENOENT) return '';
  check(fd, `read ${path} in the container`);
  try {
    checkTable(fd, path);
    return readCapped(fd, path);
  } finally {
    close(fd);
  }
}

/** This process may read more than the container: a symlink of the image must not lead it to files of the kernel. */
export function checkTable(fd: number, path: string): void {
  check(fstat(fd, attr), `stat ${path} in the container`);
  const isRegular = (attr.mode & S_IFMT) === S_IFREG;
  if (!isRegular || isOfKernel(fd)) {
    throw refuse(`${path} in the container is not a regular file of its own`);
  }
}

// What stat(2) says of a size binds nobody: it is the bytes that are counted.
function readCapped(fd: number, path: string): string {
  const chunks: Buffer[] = [];
  for (let total = 0; total <= MAX_TABLE_BYTES;) {
    const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
    const length = readSync(fd, chunk);
    if (length === 0) return Buffer.concat(chunks).toString('utf8');
    chunks.push(chunk.subarray(0, length));
    total += length;
  }
  throw refuse(`${path} in the container is over ${MAX_TABLE_BYTES} bytes`);
}
