import { lstatSync, readdirSync, readFileSync, readlinkSync, type BigIntStats } from 'node:fs';

import { O_DIRECTORY, O_RDONLY } from '../../fs/sys/constants.ts';
import { close, openat } from '../../fs/sys/file.ts';
import { getxattrText } from '../../fs/sys/xattr.ts';

/** How the owners in a tree are to be read. */
export interface Owners {
  /** The host's id for the namespace's 0. */
  readonly base: number;
  /** Only the first id is mapped: owners of symlinks and fifos, which take no attribute, are lost; others are kept aside. */
  readonly isSingle: boolean;
}

interface Found {
  readonly path: string;
  readonly status: BigIntStats;
}

function xattr(path: string, name: string): string | undefined {
  const cut = path.lastIndexOf('/');
  const directory = openat(-1, path.slice(0, cut), O_RDONLY | O_DIRECTORY);
  try {
    const value = getxattrText(directory, path.slice(cut + 1), name);
    return typeof value === 'string' ? value : undefined;
  } finally {
    close(directory);
  }
}

function isOpaque(path: string): boolean {
  return ['trusted.overlay.opaque', 'user.overlay.opaque'].some((name) => xattr(path, name) === 'y');
}

/**
 * A line for each file that a union of layers shows, in the words of the model: read from the directories as
 * overlayfs defines them.
 *
 * @param layers the topmost first.
 */
export function mergedLines(layers: readonly string[], owners: Owners): string[] {
  const lines: string[] = [];
  const first = new Map<string, string>();
  const walk = (stack: readonly Found[], path: string): void => {
    const [top] = stack;
    if (top === undefined) return;
    const { status } = top;
    const key = `${status.dev}:${status.ino}`;
    const known = status.isDirectory() ? undefined : first.get(key);
    lines.push(`${path || '.'} ${describe(top, owners)}${known === undefined ? '' : ` = ${known}`}`);
    first.set(key, known ?? path);
    const names = new Set(stack.flatMap((directory) => namesIn(directory)));
    for (const name of [...names].sort()) walk(childOf(stack, name), path === '' ? name : `${path}/${name}`);
  };
  // An opaque root ends the list.
  const end = layers.findIndex(isOpaque);
  walk(layers.slice(0, end < 0 ? layers.length : end + 1).map(look), '');
  return lines;
}

function look(path: string): Found {
  return { path, status: lstatSync(Buffer.from(path, 'latin1'), { bigint: true }) };
}

function namesIn({ path, status }: Found): string[] {
  return status.isDirectory() ? readdirSync(Buffer.from(path, 'latin1'), 'latin1') : [];
}

/** What merges under a name: up to a whiteout, what is no directory, or an opaque one. */
function childOf(stack: readonly Found[], name: string): Found[] {
  const merged: Found[] = [];
  for (const directory of stack) {
    if (!namesIn(directory).includes(name)) continue;
    const found = look(`${directory.path}/${name}`);
    if (!found.status.isDirectory()) {
      const isWhiteout = found.status.isCharacterDevice() && found.status.rdev === 0n;
      return merged.length > 0 || isWhiteout ? merged : [found];
    }
    merged.push(found);
    if (isOpaque(found.path)) break;
  }
  return merged;
}

function describe({ path, status }: Found, { base, isSingle }: Owners): string {
  const kept = status.isSymbolicLink() ? undefined : xattr(path, 'user.containers.override_stat');
  const [uid = '', gid = '', mode = '', device] = kept?.split(':') ?? [
    String(Number(status.uid) - base),
    String(Number(status.gid) - base),
    (Number(status.mode) & 0o7777).toString(8),
  ];
  const owner = isSingle && (status.isSymbolicLink() || status.isFIFO()) ? '?:?' : `${uid}:${gid}`;
  const note = status.isFile() || status.isDirectory() ? xattr(path, 'user.note') : undefined;
  const seconds = Number(status.mtimeNs) / 1e9;
  const common = `${Number.parseInt(mode, 8).toString(8)} ${owner} ${seconds}${note === undefined ? '' : ` note=${note}`}`;
  if (device !== undefined)
    return `device ${common} ${device.replace('char-', 'c').replace('block-', 'b').replace('-', ':')}`;
  if (status.isDirectory()) return `directory ${common}`;
  if (status.isSymbolicLink()) return `symlink ${common} -> ${readlinkSync(Buffer.from(path, 'latin1'), 'latin1')}`;
  if (status.isFIFO()) return `fifo ${common}`;
  if (status.isFile()) return `file ${common} ${JSON.stringify(readFileSync(Buffer.from(path, 'latin1'), 'latin1'))}`;
  const number = Number(status.rdev);
  const letter = status.isCharacterDevice() ? 'c' : 'b';
  return `device ${common} ${letter}${(number >> 8) & 0xfff}:${(number & 0xff) | ((number >> 12) & 0xfff00)}`;
}
