import { type ByteString } from '../sys/bytes.ts';
import { readCString } from '../sys/foreign-memory.ts';
import { copyBytes, Memory } from '../sys/memory.ts';

// fuse-native keeps the parameters of a request in a structure, one for each FUSE thread, whose memory it has us
// allocate. They are read from there: bytes, not strings, and pointers to what is to be filled.

/** Offsets in fuse-native's `fuse_thread_locals_t` (LP64). */
const AT = {
  path: 24,
  destination: 32,
  linkname: 40,
  info: 48,
  buffer: 56,
  offset: 64,
  length: 72,
  mode: 80,
  device: 88,
  uid: 96,
  gid: 100,
  atime: 104,
  mtime: 112,
  name: 128,
  value: 136,
  list: 144,
  size: 152,
  flags: 164,
  stat: 168,
  statvfs: 176,
  filler: 184,
  thread: 192,
} as const;

/** Offsets in libfuse 2.9's `struct fuse_file_info`. */
const INFO = { flags: 0, bits: 20, handle: 24 } as const;
const DIRECT_IO = 1;

const word = new Memory(8);

function readU32(address: number): number {
  copyBytes(word.address, address, 4);
  return word.view.getUint32(0, true);
}

function writeU32(address: number, value: number): void {
  word.view.setUint32(0, value, true);
  copyBytes(address, word.address, 4);
}

/** The request that a FUSE thread waits for. Which parameters are set depends on the operation. */
export class Request {
  readonly #memory: Memory;
  readonly #view: DataView;

  constructor(memory: Memory) {
    this.#memory = memory;
    this.#view = memory.view;
  }

  /** The key under which fuse-native hands it back. */
  get buffer(): Buffer {
    return this.#memory.bytes;
  }

  /** The path that the operation is on; of a symlink, its target. */
  get path(): ByteString {
    return readCString(this.#pointer(AT.path));
  }

  /** The second path of rename and link, and the place of a new symlink. */
  get destination(): ByteString {
    return readCString(this.#pointer(AT.destination));
  }

  get mode(): number {
    return this.#view.getUint32(AT.mode, true);
  }

  /** As the kernel's protocol has it: libfuse hands it on as it came. */
  get device(): number {
    return this.#view.getUint32(AT.device, true);
  }

  get uid(): number {
    return this.#view.getUint32(AT.uid, true);
  }

  get gid(): number {
    return this.#view.getUint32(AT.gid, true);
  }

  /** Milliseconds since 1970, signed. */
  get atime(): number {
    return this.#signed(AT.atime);
  }

  get mtime(): number {
    return this.#signed(AT.mtime);
  }

  /** Of reads, writes and directories; the new size of truncate. */
  get offset(): number {
    return this.#signed(AT.offset);
  }

  /** Bytes at `data`; of readlink, the room at `linkname`. */
  get length(): number {
    return this.#pointer(AT.length);
  }

  /** Address of what is to be read or written; of readdir, what the filler wants back. */
  get data(): number {
    return this.#pointer(AT.buffer);
  }

  get linkname(): number {
    return this.#pointer(AT.linkname);
  }

  /** Name of an extended attribute. */
  get name(): ByteString {
    return readCString(this.#pointer(AT.name));
  }

  get value(): number {
    return this.#pointer(AT.value);
  }

  get list(): number {
    return this.#pointer(AT.list);
  }

  /** Bytes at `value` or `list`. */
  get size(): number {
    return this.#pointer(AT.size);
  }

  get xattrFlags(): number {
    return this.#view.getInt32(AT.flags, true);
  }

  /** `struct stat` to be filled. */
  get stat(): number {
    return this.#pointer(AT.stat);
  }

  /** `struct statvfs` to be filled. */
  get statvfs(): number {
    return this.#pointer(AT.statvfs);
  }

  /** The function that takes a directory's entries. */
  get filler(): number {
    return this.#pointer(AT.filler);
  }

  /** Address of fuse-native's own structure for the mount. */
  get thread(): number {
    return this.#pointer(AT.thread);
  }

  /** open(2) flags. */
  get openFlags(): number {
    return readU32(this.#pointer(AT.info) + INFO.flags);
  }

  get handle(): number {
    return readU32(this.#pointer(AT.info) + INFO.handle);
  }

  set handle(value: number) {
    const address = this.#pointer(AT.info) + INFO.handle;
    writeU32(address, value);
    writeU32(address + 4, 0);
  }

  setDirectIo(): void {
    const address = this.#pointer(AT.info) + INFO.bits;
    writeU32(address, readU32(address) | DIRECT_IO);
  }

  /** User-space addresses and lengths are below 2^53. */
  #pointer(at: number): number {
    return this.#view.getUint32(at + 4, true) * 0x100000000 + this.#view.getUint32(at, true);
  }

  #signed(at: number): number {
    return this.#view.getInt32(at + 4, true) * 0x100000000 + this.#view.getUint32(at, true);
  }
}
