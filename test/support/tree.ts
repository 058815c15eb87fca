import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { type Status } from './structures.ts';
import { type System } from './system.ts';

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFLNK = 0o120000;
const S_IFREG = 0o100000;

/** How a file of a layer is to be made. */
export interface Making {
  readonly mode?: number;
  readonly uid?: number;
  readonly gid?: number;
  readonly mtime?: bigint;
  readonly xattrs?: Readonly<Record<string, string | Buffer>>;
}

/** A file of a layer, made at a path. */
export class Item {
  readonly make: (system: System, path: string) => Promise<unknown>;

  constructor(make: (system: System, path: string) => Promise<unknown>) {
    this.make = make;
  }
}

/** A layer's content by name: text is a regular file, an object a directory. */
export interface Tree {
  readonly [name: string]: string | Item | Tree;
}

async function finish(system: System, path: string, making: Making): Promise<void> {
  if (making.uid !== undefined || making.gid !== undefined)
    await system.chown(path, making.uid ?? -1, making.gid ?? -1);
  if (making.mode !== undefined) await system.chmod(path, making.mode);
  for (const [name, value] of Object.entries(making.xattrs ?? {})) await system.setxattr(path, name, value);
  if (making.mtime !== undefined) await system.utimens(path, making.mtime, making.mtime);
}

/** A regular file with more than content. */
export function file(content: string | Buffer, making: Making = {}): Item {
  return new Item(async (system, path) => {
    await system.put(path, content);
    await finish(system, path, making);
  });
}

/** A directory with more than content. */
export function directory(content: Tree, making: Making = {}): Item {
  return new Item(async (system, path) => {
    await makeTree(system, path, content);
    await finish(system, path, making);
  });
}

export function symlink(target: string): Item {
  return new Item((system, path) => system.symlink(target, path));
}

/** A fifo, socket or device. */
export function node(mode: number, device = 0): Item {
  return new Item((system, path) => system.mknod(path, mode, device));
}

/** A hard link to another file of the same layer, made earlier; `target` is relative to the new name's directory. */
export function hardlink(target: string): Item {
  return new Item((system, path) => system.link(join(path, '..', target), path));
}

/** The kernel's whiteout: character device 0:0. */
export const whiteout = node(0o020000);

/** Fills a directory, making it where it is not there: plain files first and all at once, then the others in order. */
export async function makeTree(system: System, path: string, tree: Tree): Promise<void> {
  if (!(await system.exists(path))) await system.mkdir(path);
  const entries = Object.entries(tree);
  const plain = entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string');
  await Promise.all(plain.map(([name, content]) => makeFile(system, `${path}/${name}`, content)));
  for (const [name, entry] of entries) {
    if (entry instanceof Item) await entry.make(system, `${path}/${name}`);
    else if (typeof entry !== 'string') await makeTree(system, `${path}/${name}`, entry);
  }
}

function makeFile(system: System, path: string, content: string): Promise<unknown> {
  return content === '' ? system.mknod(path, S_IFREG | 0o644) : system.put(path, content);
}

/** What a snapshot leaves out. */
export interface SnapshotOptions {
  readonly times?: boolean;
  readonly links?: boolean;
  readonly xattrs?: boolean;
}

async function describe(system: System, path: string, status: Status, options: SnapshotOptions): Promise<string> {
  const type = status.mode & S_IFMT;
  const parts = [status.mode.toString(8), `${status.uid}:${status.gid}`];
  if (type !== S_IFDIR && options.links !== false) parts.push(`links ${status.nlink}`);
  if (type !== S_IFDIR) parts.push(`size ${status.size}`);
  if (options.times !== false) parts.push(`mtime ${status.mtime}`);
  if (status.rdevMajor !== 0 || status.rdevMinor !== 0) parts.push(`device ${status.rdevMajor}:${status.rdevMinor}`);
  if (type === S_IFLNK) parts.push(`-> ${await system.readlink(path)}`);
  if (type === S_IFREG)
    parts.push(
      createHash('sha256')
        .update(await system.contents(path))
        .digest('hex')
        .slice(0, 16),
    );
  if (options.xattrs !== false) parts.push(...(await xattrs(system, path)));
  return parts.join(' ');
}

async function xattrs(system: System, path: string): Promise<string[]> {
  const names = await system.listxattr(path);
  return Promise.all(
    names.map(async (name) => `${name}=${Buffer.from(await system.getxattr(path, name), 'latin1').toString('hex')}`),
  );
}

/** Every file below a directory, by relative path, described: what a program can see of it. Sorted. */
export async function snapshot(system: System, root: string, options: SnapshotOptions = {}): Promise<string[]> {
  const lines: string[] = [];
  const walk = async (relative: string): Promise<void> => {
    const path = relative === '' ? root : `${root}/${relative}`;
    const status = await system.stat(path);
    lines.push(`${relative || '.'} ${await describe(system, path, status, options)}`);
    if ((status.mode & S_IFMT) !== S_IFDIR) return;
    for (const name of await system.names(path)) await walk(relative === '' ? name : `${relative}/${name}`);
  };
  await walk('');
  return lines;
}
