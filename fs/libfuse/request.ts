import { type ByteString } from '../sys/bytes.ts';
import { type Caller } from '../filesystem.ts';
import { type FileOffset, readFileOffset } from '../sys/file-offset.ts';
import { getAddress, readCString } from '../sys/foreign-memory.ts';
import { type Memory } from '../sys/memory.ts';
import { openFlagsAt, setDirectIoAt, setHandleAt } from './file-info.ts';
import { readContext } from './instance.ts';

// fuse-native keeps the parameters of a request in a structure, one for each FUSE thread, whose memory it has us
// allocate. They are read from there: bytes, not strings, and pointers to what is to be filled.

/** Offsets in fuse-native's `fuse_thread_locals_t` (LP64). */
const AT = {
  path: 24,
  destination: 32,
  linkname: 40,
  info: 48,
  offset: 64,
  length: 72,
  mode: 80,
  device: 88,
  uid: 96,
  gid: 100,
  name: 128,
  value: 136,
  list: 144,
  size: 152,
  flags: 164,
  stat: 168,
  statvfs: 176,
  thread: 192,
  // A `uv_async_t`: what it is for, the loop, its type.
  loopHandle: 232,
  loopHandleType: 248,
} as const;

/** Size of it all. */
const SIZE = 360;
const UV_ASYNC = 1;

/** The request that a FUSE thread waits for. Which parameters are set depends on the operation. */
export class Request {
  readonly #memory: Memory;
  readonly #view: DataView;
  /** Address of libfuse's `struct fuse_context` for this thread, once it is known. */
  context = 0;
  /** Number of this thread, once it is known. */
  threadId = 0;

  constructor(memory: Memory) {
    this.#memory = memory;
    this.#view = memory.view;
  }

  /** For another thread. */
  begin(): void {
    this.buffer.fill(0);
    this.context = 0;
    this.threadId = 0;
  }

  /** fuse-native's handle in Node's event loop for this thread; 0 where it is not where we know it to be. */
  get loopHandle(): number {
    if (this.#memory.size !== SIZE || this.#pointer(AT.loopHandle) !== this.address) return 0;
    return this.#view.getUint32(AT.loopHandleType, true) === UV_ASYNC ? this.address + AT.loopHandle : 0;
  }

  get address(): number {
    return this.#memory.address;
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

  /** The new size of truncate. */
  get offset(): FileOffset {
    return readFileOffset(this.#view, AT.offset);
  }

  /** The room at `linkname`. */
  get length(): number {
    return this.#pointer(AT.length);
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

  /** Address of fuse-native's own structure for the mount. */
  get thread(): number {
    return this.#pointer(AT.thread);
  }

  /** open(2) flags. */
  get openFlags(): number {
    return openFlagsAt(this.#pointer(AT.info));
  }

  set handle(value: number) {
    setHandleAt(this.#pointer(AT.info), value);
  }

  setDirectIo(): void {
    setDirectIoAt(this.#pointer(AT.info));
  }

  readCaller(caller: Caller): void {
    readContext(this.context, caller);
  }

  /** User-space addresses and lengths are below 2^53. */
  #pointer(at: number): number {
    return getAddress(this.#view, at);
  }
}
