import { type ByteString } from './bytes.ts';
import { loadKoffi } from './koffi.ts';
import { bind, result } from './libc.ts';
import { copyBytes, Memory } from './memory.ts';

const koffi = loadKoffi();

// Memory that others own: a library that calls us back, on its terms.

const nativeStrlen = bind('size_t strlen(uintptr_t text)');

const SCRATCH = 4096;
let scratch = new Memory(SCRATCH);

/** The bytes of a C string at an address. */
export function readCString(address: number): ByteString {
  const length = nativeStrlen(address);
  if (length > scratch.size) scratch = new Memory(length * 2);
  copyBytes(scratch.address, address, length);
  return scratch.bytes.toString('latin1', 0, length);
}

const nativeReadMemory = bind(
  'intptr_t process_vm_readv(int pid, uintptr_t to, unsigned long tos, uintptr_t from, unsigned long froms, unsigned long flags)',
);

// Two `struct iovec`: address, length.
const vectors = new Memory(32);

/**
 * Copies up to `length` bytes from an address that need not be one of ours; answers how many, or a negative errno (EFAULT
 * where there is no memory).
 */
export function peek(to: Memory, from: number, length: number): number {
  const { view } = vectors;
  putAddress(view, 0, to.address);
  putAddress(view, 8, length);
  putAddress(view, 16, from);
  putAddress(view, 24, length);
  return result(nativeReadMemory(process.pid, vectors.address, 1, vectors.address + 16, 1, 0));
}

/** An address, or another number below 2^53, as a word of 8 bytes. */
export function putAddress(view: DataView, at: number, address: number): void {
  view.setUint32(at, address >>> 0, true);
  view.setUint32(at + 4, Math.floor(address / 0x100000000), true);
}

/** A word of 8 bytes; exact below 2^53, as addresses are. */
export function getAddress(view: DataView, at: number): number {
  return view.getUint32(at + 4, true) * 0x100000000 + view.getUint32(at, true);
}

/** A call of the function at an address; one that answers an integer. */
type ForeignCall = (address: number, ...parameters: number[]) => number;

/** @param prototype C declaration of such functions; pointers are declared `uintptr_t` and passed as numbers. */
export function bindForeign(prototype: string): ForeignCall {
  const type = koffi.proto(prototype);
  return (address, ...parameters) => koffi.call(address, type, ...parameters) as number;
}

/** What C code calls; numbers from 2^53 on come as bigints. */
export type ForeignCallback = (...parameters: (number | bigint)[]) => number;

// What has a function's address may call it for as long as the process lives.
const callbacks: unknown[] = [];

/** @param prototype C declaration, unlike any other's; pointers are declared `uintptr_t`. */
export function defineCallback(prototype: string): (callback: ForeignCallback) => number {
  const type = koffi.pointer(koffi.proto(prototype));
  return (callback) => {
    const registered = koffi.register(callback, type);
    callbacks.push(registered);
    return Number(koffi.address(registered));
  };
}

/** A function of this program, Node, itself. */
export function bindProgram(prototype: string): (...parameters: number[]) => void {
  return koffi.load(null).func(prototype) as (...parameters: number[]) => void;
}

// Libraries that stay: nothing else keeps them from being unloaded.
const kept: unknown[] = [];

/** dlopen(3): what is loaded later and needs a library of this soname gets this one. Throws where it cannot be. */
export function keepLibrary(path: string): void {
  kept.push(koffi.load(path));
}
