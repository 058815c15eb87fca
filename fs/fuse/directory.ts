import type { DirectorySink, Entry } from '../filesystem.ts';
import type { ByteString } from '../sys/bytes.ts';
import { putEntry } from './attributes.ts';
import type { Connection } from './connection.ts';
import { ABI } from './structs.ts';

const { fuse_out_header: OUT, fuse_entry_out: ENTRY, fuse_dirent: DIRENT } = ABI;

/** Entries of READDIR and READDIRPLUS, written straight into the reply. */
export class ReplyDirectory implements DirectorySink {
  plus = false;
  readonly entry: Entry;
  readonly #out: DataView;
  readonly #bytes: Buffer;
  readonly #connection: Connection;
  #at = 0;
  #end = 0;

  constructor(entry: Entry, out: DataView, bytes: Buffer, connection: Connection) {
    this.entry = entry;
    this.#out = out;
    this.#bytes = bytes;
    this.#connection = connection;
  }

  /** @param size the room that the kernel has. */
  begin(plus: boolean, size: number): void {
    this.plus = plus;
    this.#at = OUT.sizeof;
    this.#end = Math.min(OUT.sizeof + size, this.#out.byteLength);
  }

  /** Bytes written since `begin`. */
  get length(): number {
    return this.#at - OUT.sizeof;
  }

  fits(name: ByteString): boolean {
    return this.#at + this.#sizeOf(name) <= this.#end;
  }

  add(name: ByteString, ino: number, type: number, next: number): void {
    const end = this.#at + this.#sizeOf(name);
    if (this.plus) this.#putEntry();
    const at = this.plus ? this.#at + ENTRY.sizeof : this.#at;
    this.#put64(at + DIRENT.ino, ino);
    this.#put64(at + DIRENT.off, next);
    this.#out.setUint32(at + DIRENT.namelen, name.length, true);
    this.#out.setUint32(at + DIRENT.type, type, true);
    this.#bytes.write(name, at + DIRENT.sizeof, 'latin1');
    // The padding would carry bytes of an earlier reply.
    for (let padding = at + DIRENT.sizeof + name.length; padding < end; padding += 1) this.#bytes[padding] = 0;
    this.#at = end;
  }

  #putEntry(): void {
    if (this.entry.node === 0) this.#bytes.fill(0, this.#at, this.#at + ENTRY.sizeof);
    else putEntry(this.#out, this.#at, this.entry, this.#connection);
  }

  #sizeOf(name: ByteString): number {
    const size = DIRENT.sizeof + ((name.length + 7) & ~7);
    return this.plus ? ENTRY.sizeof + size : size;
  }

  #put64(at: number, value: number): void {
    this.#out.setUint32(at, value >>> 0, true);
    this.#out.setUint32(at + 4, Math.floor(value / 0x100000000), true);
  }
}
