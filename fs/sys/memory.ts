import { loadKoffi } from './koffi.ts';
import { bind } from './libc.ts';

const koffi = loadKoffi();

/**
 * Bytes outside the JavaScript heap whose address is known, so that a system call can be given any offset in them as
 * a plain number: no slice, no wrapper object, no allocation per call.
 *
 * The backing store of an ArrayBuffer never moves; it lives as long as the `Memory` is referenced.
 */
export class Memory {
  readonly size: number;
  readonly buffer: ArrayBuffer;
  readonly view: DataView;
  readonly bytes: Buffer;
  /** Address of the first byte. User-space addresses fit in 47 bits (57 with LA57), so a double is exact. */
  readonly address: number;

  constructor(size: number) {
    this.size = size;
    this.buffer = new ArrayBuffer(size);
    this.view = new DataView(this.buffer);
    this.bytes = Buffer.from(this.buffer);
    this.address = Number(koffi.address(this.bytes));
  }
}

const nativeMemmove = bind('uintptr_t memmove(uintptr_t to, uintptr_t from, size_t length)');

/** Copies between two addresses. */
export function copyBytes(to: number, from: number, length: number): void {
  nativeMemmove(to, from, length);
}
