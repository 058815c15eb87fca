import { spawn, spawnSync, type ChildProcessByStdio } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import { type Readable, type Writable } from 'node:stream';
import { CAP_SYS_ADMIN, hasCapability } from '../../fs/sys/capability.ts';
import { MNT_DETACH, MS_NODEV, MS_NOSUID } from '../../fs/sys/constants.ts';
import { describeErrno } from '../../fs/sys/errno.ts';
import { mount, umount } from '../../fs/sys/mount.ts';
import { executeAgain } from '../execute-again.ts';
import { homeDirectory } from './home-directory.ts';
import { OUTER_CONTAINER, isChrooted, settingsAdvice } from './namespace-advice.ts';
import { type Caller } from './options/user-namespace.ts';
import { findProgram } from './program.ts';
import { type SubordinateIds, readSubordinateIds } from './subordinate-ids.ts';

// An ordinary user works inside a user namespace that belongs to lamina alone: root in it is the user, the subordinate
// ids follow as 1 and up. Node has several threads and cannot unshare its user namespace, so a holder process makes
// the namespaces, they are mapped from outside, and this process becomes nsenter(1) and then itself again, inside: the
// same pid, terminal and standard files. The map is the same each time, so files on disk keep their owners.

/** Tells the process inside who it is outside. Trusted only where the process really is in a user namespace. */
const MARKER = 'LAMINA_USER_NAMESPACE';

interface Marker {
  readonly uid: number;
  readonly gid: number;
  /** Undefined where no table has the user. */
  readonly name?: string | undefined;
  readonly home?: string | undefined;
  readonly directory: string;
  /** Descriptors of the namespaces, no longer needed inside. */
  readonly descriptors: readonly number[];
}

let outside: Marker | undefined;

/**
 * Whether lamina works for an ordinary user: the one who called it, or, inside its namespace, the one who did so there.
 * Root of a container that has CAP_SYS_ADMIN counts as root.
 */
export function isRootless(): boolean {
  return outside !== undefined || readMarker() !== undefined || !hasCapability(CAP_SYS_ADMIN);
}

/** Who calls lamina, outside of its own user namespace. */
export function caller(): Caller {
  const { uid, gid, name, home } = outside ?? readMarker() ?? { ...outerIds(), ...accountOf() };
  return { uid, gid, name, home, isRootless: isRootless() };
}

function accountOf(): { readonly name?: string; readonly home?: string } {
  try {
    const { username, homedir: home } = userInfo();
    return { name: username, home };
  } catch {
    return {};
  }
}

/** Ids outside of our own user namespace; those of the process where it has none. */
function outerIds(): { readonly uid: number; readonly gid: number } {
  return outside ?? readMarker() ?? { uid: process.geteuid?.() ?? 0, gid: process.getegid?.() ?? 0 };
}

/** The caller's user id, outside of our own user namespace. */
export function callerUid(): number {
  return outerIds().uid;
}

/**
 * Makes sure that this process may mount, and owns all ids that it can: root goes on as it is; for an ordinary user
 * the same command line is executed again inside a user and mount namespace, and this call does not return.
 *
 * Call it first in a command: what the process has done before is done a second time.
 *
 * @param quiet no line about a missing range of ids: for commands that are not the first to meet it.
 */
export async function enterUserNamespace(quiet = false): Promise<void> {
  if (hasCapability(CAP_SYS_ADMIN)) {
    const marker = readMarker();
    if (marker !== undefined) adopt(marker);
    return;
  }
  // Inside, where the user is root, the password table would give root's.
  process.env['HOME'] = homeDirectory();
  const ids = readSubordinateIds();
  if (!quiet && ids.missing !== undefined) say(`${ids.missing}; ${ids.remedy}`);
  const holder = await startHolder();
  try {
    await mapIds(holder, ids);
    reexecute(await takeNamespaces(holder));
  } finally {
    holder.kill('SIGKILL');
  }
}

/**
 * As `enterUserNamespace`, into the namespaces of another process of lamina for the same user: what is mounted there is
 * to be seen nowhere else.
 */
export function enterNamespacesOf(pid: number): void {
  if (hasCapability(CAP_SYS_ADMIN)) {
    const marker = readMarker();
    if (marker !== undefined) adopt(marker);
    return;
  }
  process.env['HOME'] = homeDirectory();
  reexecute([openSync(`/proc/${pid}/ns/user`, 'r'), openSync(`/proc/${pid}/ns/mnt`, 'r')]);
}

/** Environment of a process of ours in the same namespaces, which is to know by `adoptCaller` who called this one. */
export function environmentInside(): NodeJS.ProcessEnv {
  if (outside === undefined) return process.env;
  return { ...process.env, [MARKER]: JSON.stringify({ ...outside, descriptors: [] }) };
}

/** In a process that was given `environmentInside`. */
export function adoptCaller(): void {
  outside = readMarker();
  Reflect.deleteProperty(process.env, MARKER);
}

// Standard error stays untouched by Node's streams, which would make a pipe that the container inherits non-blocking.
function say(line: string): void {
  writeFileSync(2, `lamina: ${line}\n`);
}

function readMarker(): Marker | undefined {
  const text = process.env[MARKER];
  if (text === undefined || !isMappedNamespace()) return undefined;
  try {
    return JSON.parse(text) as Marker;
  } catch {
    return undefined;
  }
}

function isMappedNamespace(): boolean {
  return !/^\s*0\s+0\s+4294967295\s*$/.test(readFileSync('/proc/self/uid_map', 'latin1'));
}

function adopt(marker: Marker): void {
  Reflect.deleteProperty(process.env, MARKER);
  outside = marker;
  for (const descriptor of marker.descriptors) closeSync(descriptor);
  probeMount();
  process.chdir(marker.directory);
}

// Ubuntu's AppArmor rule lets the namespace be made and then refuses what it is for.
function probeMount(): void {
  const mounted = mount('lamina', '/proc', 'tmpfs', MS_NOSUID | MS_NODEV);
  if (mounted < 0) throw new Error(explainRefusal(`mounting in it: ${describeErrno(mounted)}`));
  umount('/proc', MNT_DETACH);
}

type Holder = ChildProcessByStdio<Writable, Readable, Readable>;

/** A process that waits in new, unmapped namespaces; what it echoes tells that it is there. */
async function startHolder(): Promise<Holder> {
  const unshare = findProgram('unshare', 'util-linux');
  const cat = findProgram('cat', 'coreutils');
  const holder = spawn(unshare, ['--user', '--mount', cat], { stdio: ['pipe', 'pipe', 'pipe'] });
  holder.stdin.on('error', () => undefined);
  holder.stdin.write('\n');
  const complaints: Buffer[] = [];
  holder.stderr.on('data', (chunk: Buffer) => complaints.push(chunk));
  const echoed = once(holder.stdout, 'data').then(() => true);
  const ended = once(holder, 'close').then(() => false);
  if (await Promise.race([echoed, ended])) return holder;
  throw new Error(explainRefusal(Buffer.concat(complaints).toString('utf8').trim() || 'unshare(1) failed'));
}

async function mapIds(holder: Holder, ids: SubordinateIds): Promise<void> {
  const pid = String(holder.pid);
  if (ids.users.length === 0) {
    mapSingleId(pid);
    return;
  }
  await runMapper('newuidmap', pid, process.geteuid?.() ?? 0, ids.users);
  await runMapper('newgidmap', pid, process.getegid?.() ?? 0, ids.groups);
}

function mapSingleId(pid: string): void {
  writeFileSync(`/proc/${pid}/setgroups`, 'deny');
  writeFileSync(`/proc/${pid}/uid_map`, `0 ${process.geteuid?.() ?? 0} 1`);
  writeFileSync(`/proc/${pid}/gid_map`, `0 ${process.getegid?.() ?? 0} 1`);
}

async function runMapper(program: string, pid: string, own: number, ranges: SubordinateIds['users']): Promise<void> {
  const triples = ['0', String(own), '1'];
  let inside = 1;
  for (const { start, count } of ranges) {
    triples.push(String(inside), String(start), String(count));
    inside += count;
  }
  const path = findProgram(program, 'uidmap');
  const { status, stderr } = spawnSync(path, [pid, ...triples], { encoding: 'utf8' });
  if (status === 0) return;
  const { mapperObstacle } = await import('./id-mappers.ts');
  const { reason, remedy } = mapperObstacle(path) ?? {
    reason: stderr.trim() || `${program} failed`,
    remedy: 'see the ranges in /etc/subuid and /etc/subgid, subuid(5)',
  };
  throw new Error(`cannot map the subordinate ids of ${userName()}: ${reason}; ${remedy}`);
}

function userName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.geteuid?.() ?? 0);
  }
}

/** Descriptors that keep the holder's namespaces, and the end of the holder. */
async function takeNamespaces(holder: Holder): Promise<readonly [user: number, mounts: number]> {
  const user = openSync(`/proc/${holder.pid ?? 0}/ns/user`, 'r');
  const mounts = openSync(`/proc/${holder.pid ?? 0}/ns/mnt`, 'r');
  const closed = once(holder, 'close');
  holder.stdin.end();
  await closed;
  return [user, mounts];
}

function reexecute(descriptors: readonly [user: number, mounts: number]): never {
  const [user, mounts] = descriptors;
  const { uid, gid } = outerIds();
  const marker: Marker = { ...accountOf(), uid, gid, directory: workingDirectory(), descriptors };
  const nsenter = findProgram('nsenter', 'util-linux');
  const enter = [
    'nsenter',
    '--preserve-credentials',
    `--user=/proc/self/fd/${user}`,
    `--mount=/proc/self/fd/${mounts}`,
  ];
  // Behind the dashes Node takes nothing for its own: --env-file would be read by it, wherever it stands.
  const argv = [...enter, '--', process.execPath, ...process.execArgv, '--', ...process.argv.slice(1)];
  executeAgain(nsenter, argv, { [MARKER]: JSON.stringify(marker) }, descriptors);
}

function workingDirectory(): string {
  try {
    return process.cwd();
  } catch {
    // It has been removed.
    return '/';
  }
}

/** What to do where this machine gives no namespaces. */
export function userNamespaceAdvice(): string {
  const settings = settingsAdvice();
  if (settings !== undefined) return settings;
  if (isChrooted()) return 'the kernel makes none in a chroot: run lamina outside of it, or as root';
  return callerUid() === 0 ? OUTER_CONTAINER : `run as root; ${OUTER_CONTAINER}`;
}

function explainRefusal(failure: string): string {
  const who = callerUid() === 0 ? 'root without CAP_SYS_ADMIN' : 'an ordinary user';
  return `${who} needs a user namespace, and this machine gives none (${failure}): ${userNamespaceAdvice()}`;
}
