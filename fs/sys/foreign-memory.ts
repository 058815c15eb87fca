import koffi from 'koffi';
import { type ByteString } from './bytes.ts';
import { bind } from './libc.ts';
import { copyBytes, Memory } from './memory.ts';

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

/** A call of the function at an address; one that answers an integer. */
type ForeignCall = (address: number, ...parameters: number[]) => number;

/** @param prototype C declaration of such functions; pointers are declared `uintptr_t` and passed as numbers. */
export function bindForeign(prototype: string): ForeignCall {
  const type = koffi.proto(prototype);
  return (address, ...parameters) => koffi.call(address, type, ...parameters) as number;
}

// Libraries that stay: nothing else keeps them from being unloaded.
const kept: unknown[] = [];

/** dlopen(3): what is loaded later and needs a library of this soname gets this one. Throws where it cannot be. */
export function keepLibrary(path: string): void {
  kept.push(koffi.load(path));
}
