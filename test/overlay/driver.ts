import { execFileSync } from 'node:child_process';
import { lstatSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type AttrChange,
  type Caller,
  type DirectorySink,
  type Entry,
  type FileSystem,
  NO_HANDLE,
  type Opened,
  ROOT_NODE,
} from '../../fs/filesystem.ts';
import { createOverlay } from '../../fs/overlay/index.ts';
import { type OverlayOptions } from '../../fs/overlay/options.ts';
import { Attr } from '../../fs/sys/attr.ts';
import { toBytes } from '../../fs/sys/bytes.ts';
import { O_RDONLY } from '../../fs/sys/constants.ts';
import { errnoName } from '../../fs/sys/errno.ts';
import { Memory } from '../../fs/sys/memory.ts';
import { Times } from '../../fs/sys/metadata.ts';

export const ROOT: Caller = { uid: 0, gid: 0, pid: 1, umask: 0o022 };

/** Layers in a temporary directory. */
export class Ground {
  readonly path = mkdtempSync(join(tmpdir(), 'lamina-overlay-'));
  readonly upper = this.directory('upper');
  readonly work = this.directory('work');

  directory(name: string): string {
    const path = join(this.path, name);
    mkdirSync(path, { recursive: true });
    return path;
  }

  remove(): void {
    rmSync(this.path, { recursive: true, force: true });
  }

  overlay(lowers: readonly string[], options: Partial<OverlayOptions> = {}): Driver {
    return new Driver({
      lowers: lowers.map(toBytes),
      upper: toBytes(this.upper),
      work: toBytes(this.work),
      ...options,
    });
  }
}

/** Plays the kernel: calls a union without a mount, by path. */
export class Driver {
  readonly filesystem: FileSystem;
  readonly entry: Entry = { node: 0, generation: 0, attr: new Attr(), attributesLast: true };
  readonly opened: Opened = { handle: NO_HANDLE, keepCache: false, directIo: false, backing: 0 };
  readonly attr = new Attr();
  readonly memory = new Memory(1 << 16);

  constructor(options: OverlayOptions) {
    this.filesystem = createOverlay(options);
  }

  /** Node of a path, looked up component by component; throws the errno's name. */
  node(path: string): number {
    let node = ROOT_NODE;
    for (const name of path.split('/').filter((part) => part !== '')) {
      ok(this.filesystem.lookup(node, toBytes(name), this.entry), `lookup ${path}`);
      if (this.entry.node === 0) throw new Error('ENOENT');
      node = this.entry.node;
    }
    return node;
  }

  split(path: string): [parent: number, name: string] {
    const at = path.lastIndexOf('/');
    return [this.node(path.slice(0, Math.max(at, 0))), toBytes(path.slice(at + 1))];
  }

  read(path: string): string {
    const node = this.node(path);
    ok(this.filesystem.open(node, O_RDONLY, this.opened), `open ${path}`);
    const { handle } = this.opened;
    const text = this.readHandle(node, handle);
    this.filesystem.release(node, handle);
    return text;
  }

  readHandle(node: number, handle: number): string {
    const length = ok(this.filesystem.read(node, handle, 0, this.memory.size, this.memory.address, true), 'read');
    return this.memory.bytes.toString('utf8', 0, length);
  }

  writeHandle(node: number, handle: number, offset: number, text: string): void {
    const length = this.memory.bytes.write(text);
    ok(this.filesystem.write(node, handle, offset, length, this.memory.address, 0), 'write');
  }

  write(path: string, text: string, flags = 0o1001): void {
    const node = this.node(path);
    ok(this.filesystem.open(node, flags, this.opened), `open ${path}`);
    const { handle } = this.opened;
    this.writeHandle(node, handle, 0, text);
    this.filesystem.release(node, handle);
  }

  create(path: string, text = '', caller = ROOT, mode = 0o666): number {
    const [parent, name] = this.split(path);
    ok(this.filesystem.create(caller, parent, name, mode, 1, this.entry, this.opened), `create ${path}`);
    const { node } = this.entry;
    if (text !== '') this.writeHandle(node, this.opened.handle, 0, text);
    this.filesystem.release(node, this.opened.handle);
    return node;
  }

  mkdir(path: string, caller = ROOT, mode = 0o777): number {
    const [parent, name] = this.split(path);
    ok(this.filesystem.mkdir(caller, parent, name, mode, this.entry), `mkdir ${path}`);
    return this.entry.node;
  }

  unlink(path: string): void {
    ok(this.filesystem.unlink(...this.split(path)), `unlink ${path}`);
  }

  rmdir(path: string): void {
    ok(this.filesystem.rmdir(...this.split(path)), `rmdir ${path}`);
  }

  rename(from: string, to: string, flags = 0): void {
    const [parent, name] = this.split(from);
    const [newParent, newName] = this.split(to);
    ok(this.filesystem.rename(parent, name, newParent, newName, flags), `rename ${from} ${to}`);
  }

  stat(path: string): Attr {
    ok(this.filesystem.getattr(this.node(path), NO_HANDLE, this.attr), `stat ${path}`);
    return this.attr;
  }

  change(path: string, change: Partial<AttrChange>): void {
    const full = { valid: 0, mode: 0, uid: 0, gid: 0, size: 0, times: new Times(), ...change };
    ok(this.filesystem.setattr(ROOT, this.node(path), NO_HANDLE, full, this.attr), `setattr ${path}`);
  }

  list(path: string): string[] {
    return this.entries(path).map(({ name }) => name);
  }

  entries(path: string, plus = false): { name: string; ino: number; type: number; next: number }[] {
    const node = this.node(path);
    ok(this.filesystem.opendir(node, this.opened), `opendir ${path}`);
    const { handle } = this.opened;
    const found: { name: string; ino: number; type: number; next: number }[] = [];
    const sink: DirectorySink = {
      plus,
      entry: { node: 0, generation: 0, attr: new Attr(), attributesLast: true },
      fits: () => true,
      add: (name, ino, type, next) => found.push({ name: Buffer.from(name, 'latin1').toString(), ino, type, next }),
    };
    ok(this.filesystem.readdir(node, handle, 0, sink), `readdir ${path}`);
    this.filesystem.releasedir(node, handle);
    return found.filter(({ name }) => name !== '.' && name !== '..').sort((a, b) => (a.name < b.name ? -1 : 1));
  }

  close(): void {
    this.filesystem.destroy();
  }
}

function ok(value: number, attempt: string): number {
  if (value < 0) throw new Error(`${errnoName(value)}: ${attempt}`);
  return value;
}

export function put(root: string, path: string, text: string): void {
  mkdirSync(join(root, path, '..'), { recursive: true });
  writeFileSync(join(root, path), text);
}

export function isWhiteout(path: string): boolean {
  const stat = lstatSync(path);
  return stat.isCharacterDevice() && stat.rdev === 0;
}

export function xattr(path: string, name: string): string {
  return execFileSync('getfattr', ['-h', '--only-values', '-n', name, path], { encoding: 'utf8' });
}
