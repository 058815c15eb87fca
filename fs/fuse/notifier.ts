import type { Notifier } from '../filesystem.ts';
import type { ByteString } from '../sys/bytes.ts';
import { readCached } from '../sys/cached-data.ts';
import { EAGAIN, EFBIG, EOPNOTSUPP } from '../sys/errno.ts';
import { pread } from '../sys/file.ts';
import { Memory } from '../sys/memory.ts';
import { NOTIFY } from './constants.ts';
import type { Device } from './device.ts';
import { ABI } from './structs.ts';

const {
  fuse_out_header: OUT,
  fuse_notify_inval_inode_out: INVAL_INODE,
  fuse_notify_inval_entry_out: INVAL_ENTRY,
  fuse_notify_store_out: STORE,
} = ABI;

const LONGEST_NAME = 1024;
const PAGE = 4096;

/** Tells the kernel to drop what it remembers: replies that answer no request, with a code in the error's place. */
export class DeviceNotifier implements Notifier {
  readonly #device: Device;
  readonly #memory = new Memory(OUT.sizeof + INVAL_ENTRY.sizeof + LONGEST_NAME + 1);
  #content: Content | undefined;

  constructor(device: Device) {
    this.#device = device;
  }

  invalidateEntry(parent: number, name: ByteString): number {
    const { bytes, view } = this.#memory;
    const body = OUT.sizeof;
    const length = bytes.write(name, body + INVAL_ENTRY.sizeof, LONGEST_NAME, 'latin1');
    bytes[body + INVAL_ENTRY.sizeof + length] = 0;
    this.#put64(body + INVAL_ENTRY.parent, parent);
    view.setUint32(body + INVAL_ENTRY.namelen, length, true);
    view.setUint32(body + INVAL_ENTRY.flags, 0, true);
    return this.#send(NOTIFY.INVAL_ENTRY, INVAL_ENTRY.sizeof + length + 1);
  }

  invalidateInode(node: number, offset: number, length: number): number {
    const body = OUT.sizeof;
    this.#put64(body + INVAL_INODE.ino, node);
    this.#put64(body + INVAL_INODE.off, offset);
    this.#put64(body + INVAL_INODE.len, length);
    return this.#send(NOTIFY.INVAL_INODE, INVAL_INODE.sizeof);
  }

  storeContent(node: number, fd: number, limit: number): number {
    if (this.#content === undefined || this.#content.limit < limit) this.#content = new Content(limit);
    const length = this.#content.load(node, fd, limit);
    if (length < 0) return length;
    const written = this.#device.write(this.#content.address, length);
    return written < 0 ? written : 0;
  }

  #send(code: number, payload: number): number {
    const { view, address } = this.#memory;
    const length = OUT.sizeof + payload;
    view.setUint32(OUT.len, length, true);
    view.setInt32(OUT.error, code, true);
    this.#put64(OUT.unique, 0);
    const written = this.#device.write(address, length);
    return written < 0 ? written : 0;
  }

  /** Two's complement, for the signed offset. */
  #put64(at: number, value: number): void {
    this.#memory.view.setUint32(at, value >>> 0, true);
    this.#memory.view.setInt32(at + 4, Math.floor(value / 0x100000000), true);
  }
}

/** FUSE_NOTIFY_STORE with what it stores, which begins with a page. */
class Content {
  readonly limit: number;
  readonly #memory: Memory;
  readonly #start: number;

  constructor(limit: number) {
    this.limit = limit;
    this.#memory = new Memory(2 * PAGE + limit);
    const head = OUT.sizeof + STORE.sizeof;
    this.#start = PAGE - ((this.#memory.address + head) % PAGE);
  }

  get address(): number {
    return this.#memory.address + this.#start;
  }

  /** Answers the message's length. */
  load(node: number, fd: number, limit: number): number {
    const head = OUT.sizeof + STORE.sizeof;
    // A byte more tells whether there is more. What is not in memory ends it, too: the kernel takes whole pages alone, and
    // the last one of the file.
    let size = readCached(fd, this.address + head, limit + 1, 0);
    // As tmpfs, which has all in memory.
    if (size === -EOPNOTSUPP) size = pread(fd, this.address + head, limit + 1, 0);
    if (size <= 0) return size || -EAGAIN;
    if (size > limit) return -EFBIG;
    const length = head + size;
    const { view } = this.#memory;
    const body = this.#start + OUT.sizeof;
    view.setUint32(this.#start + OUT.len, length, true);
    view.setInt32(this.#start + OUT.error, NOTIFY.STORE, true);
    view.setUint32(body + STORE.nodeid, node >>> 0, true);
    view.setUint32(body + STORE.nodeid + 4, Math.floor(node / 0x100000000), true);
    view.setUint32(body + STORE.size, size, true);
    return length;
  }
}
