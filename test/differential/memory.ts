import { cstring, libcCalls as libc } from './libc.ts';

const O_RDWR = 2;
const O_CLOEXEC = 0o2000000;

// A fault behind a file's end would be a SIGBUS: through here it is an EIO.
let memory: number | undefined;

function opened(): number {
  return (memory ??= libc.open(cstring('/proc/self/mem'), O_RDWR | O_CLOEXEC, 0));
}

/** Opens the process's memory while it has root's rights. */
export function openMemory(): void {
  opened();
}

/** Reads a mapping. */
export function peek(address: bigint, offset: number, length: number): Buffer {
  const bytes = Buffer.alloc(length);
  return bytes.subarray(0, libc.pread(opened(), bytes, length, address + BigInt(offset)));
}

/** Stores bytes in a mapping. */
export function poke(address: bigint, offset: number, content: Buffer): void {
  libc.pwrite(opened(), content, content.length, address + BigInt(offset));
}
