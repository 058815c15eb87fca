import type { AttrChange, Caller, Entry, Opened } from '../filesystem.ts';
import { Attr } from '../sys/attr.ts';
import type { ByteString } from '../sys/bytes.ts';
import { type FileOffset, readFileOffset, writeFileOffset } from '../sys/file-offset.ts';
import { STATFS } from '../sys/file.ts';
import { Memory } from '../sys/memory.ts';
import { Times } from '../sys/metadata.ts';
import type { Connection } from './connection.ts';
import { ReplyDirectory } from './directory.ts';
import { ABI } from './structs.ts';

const { fuse_in_header: IN, fuse_out_header: OUT, fuse_write_in: WRITE_IN } = ABI;

/** Where a request's own structure begins. */
export const BODY = IN.sizeof;
/** Where a reply's own structure or data begins. */
export const PAYLOAD = OUT.sizeof;

/** The largest WRITE: as large as a pipe holds whose every page may hold a page of it (fs.pipe-max-size, 1 MiB). */
export const MAX_WRITE = 512 << 10;
/**
 * The largest READ: with its header it has to fit the pipe that it is spliced through. Readers who announce that they read
 * a file in order (POSIX_FADV_SEQUENTIAL) have twice the read-ahead.
 */
export const MAX_READ = 512 << 10;
// The kernel refuses a read of the device with less room than a header, WRITE's structure and max_write.
const REQUEST_CAPACITY = MAX_WRITE + 4096;
const PAGE = 4096;

/** A buffer whose byte at `aligned` lies at the start of a page, so that O_DIRECT works straight from or into it. */
class Region {
  readonly #memory: Memory;
  readonly view: DataView;
  readonly bytes: Buffer;
  readonly address: number;

  constructor(size: number, aligned: number) {
    this.#memory = new Memory(size + PAGE);
    const shift = (PAGE - ((this.#memory.address + aligned) % PAGE)) % PAGE;
    this.address = this.#memory.address + shift;
    this.view = new DataView(this.#memory.buffer, shift, size);
    this.bytes = Buffer.from(this.#memory.buffer, shift, size);
  }
}

/**
 * One request and its reply: the buffers, and the objects that handlers fill for the filesystem. A slot belongs to its
 * request until `Session.reply` has sent the answer, which need not be in the call that read the request.
 */
export class Slot {
  readonly connection: Connection;
  readonly #request = new Region(REQUEST_CAPACITY, BODY + WRITE_IN.sizeof);
  readonly #reply = new Region(PAGE + MAX_WRITE, 0);
  readonly in: DataView = this.#request.view;
  readonly out: DataView = this.#reply.view;
  readonly requestAddress = this.#request.address;
  readonly requestCapacity = REQUEST_CAPACITY;
  readonly payloadCapacity = MAX_WRITE;
  /** Where in its region the reply begins: with a page, since each page that it lies in costs the kernel a look-up. */
  #replyStart = 0;

  readonly caller: Caller = { uid: 0, gid: 0, pid: 0, umask: 0 };
  readonly entry: Entry = { node: 0, generation: 0, attr: new Attr(), attributesLast: true };
  readonly opened: Opened = { handle: 0, keepCache: false, directIo: false, backing: 0 };
  readonly change: AttrChange = { valid: 0, mode: 0, uid: 0, gid: 0, size: 0, times: new Times() };
  readonly statfs = new Memory(STATFS.sizeof);
  readonly directory: ReplyDirectory;

  /** Bytes of the request, header included. */
  length = 0;
  opcode = 0;
  node = 0;
  uniqueLow = 0;
  uniqueHigh = 0;

  constructor(connection: Connection) {
    this.connection = connection;
    this.directory = new ReplyDirectory(this.entry, this.out, this.#reply.bytes, connection);
  }

  get replyAddress(): number {
    return this.#reply.address + this.#replyStart;
  }

  /** Address of what follows the reply's header. */
  get payloadAddress(): number {
    return this.#reply.address + this.#replyStart + PAYLOAD;
  }

  /** Has the payload begin with a page; for one that is given by its address alone. */
  alignPayload(): void {
    this.#replyStart = PAGE - PAYLOAD;
  }

  /** Takes the header apart. Answers whether the request is whole. */
  decode(length: number): boolean {
    this.length = length;
    this.#replyStart = 0;
    if (length < BODY || this.in.getUint32(IN.len, true) !== length) return false;
    this.opcode = this.in.getUint32(IN.opcode, true);
    this.uniqueLow = this.in.getUint32(IN.unique, true);
    this.uniqueHigh = this.in.getUint32(IN.unique + 4, true);
    this.node = this.in.getUint32(IN.nodeid + 4, true) * 0x100000000 + this.in.getUint32(IN.nodeid, true);
    this.caller.uid = this.in.getUint32(IN.uid, true);
    this.caller.gid = this.in.getUint32(IN.gid, true);
    this.caller.pid = this.in.getUint32(IN.pid, true);
    this.caller.umask = 0;
    return true;
  }

  /** The request as it came, to be taken up again by `restore`. */
  save(): Buffer {
    return Buffer.from(this.#request.bytes.subarray(0, this.length));
  }

  restore(request: Buffer): void {
    request.copy(this.#request.bytes);
    this.decode(request.length);
  }

  /** Writes the reply's header; answers the reply's length. */
  encode(error: number, payload: number): number {
    const length = PAYLOAD + payload;
    const at = this.#replyStart;
    this.out.setUint32(at + OUT.len, length, true);
    this.out.setInt32(at + OUT.error, error, true);
    this.out.setUint32(at + OUT.unique, this.uniqueLow, true);
    this.out.setUint32(at + OUT.unique + 4, this.uniqueHigh, true);
    return length;
  }

  /** A field of the request's structure. */
  u32(offset: number): number {
    return this.in.getUint32(BODY + offset, true);
  }

  /** Exact below 2^53, as our node numbers and handles are. */
  u64(offset: number): number {
    return this.in.getUint32(BODY + offset + 4, true) * 0x100000000 + this.in.getUint32(BODY + offset, true);
  }

  /** A size or offset, which is the caller's to choose. */
  fileOffset(offset: number): FileOffset {
    return readFileOffset(this.in, BODY + offset);
  }

  /** Where the NUL of the string at `offset` behind the header is; the request's end if there is none. */
  endOfName(offset: number): number {
    const end = this.length - BODY;
    let at = offset;
    while (at < end && this.in.getUint8(BODY + at) !== 0) at += 1;
    return at;
  }

  text(start: number, end: number): ByteString {
    return this.#request.bytes.toString('latin1', BODY + start, BODY + end);
  }

  /** The string at `offset` behind the header. */
  name(offset: number): ByteString {
    return this.text(offset, this.endOfName(offset));
  }

  /** Address of the byte at `offset` behind the header. */
  bodyAddress(offset: number): number {
    return this.requestAddress + BODY + offset;
  }

  setU32(offset: number, value: number): void {
    this.out.setUint32(PAYLOAD + offset, value, true);
  }

  setU64(offset: number, value: number): void {
    this.out.setUint32(PAYLOAD + offset, value >>> 0, true);
    this.out.setUint32(PAYLOAD + offset + 4, Math.floor(value / 0x100000000), true);
  }

  setFileOffset(offset: number, value: FileOffset): void {
    writeFileOffset(this.out, PAYLOAD + offset, value);
  }

  /** Zeroes part of the payload, which holds an earlier reply. */
  clear(offset: number, length: number): void {
    this.#reply.bytes.fill(0, PAYLOAD + offset, PAYLOAD + offset + length);
  }

  /** Copies part of the request into the payload. */
  copyBody(from: number, length: number, to: number): void {
    this.#request.bytes.copy(this.#reply.bytes, PAYLOAD + to, BODY + from, BODY + from + length);
  }
}
