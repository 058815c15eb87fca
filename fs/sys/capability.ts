import { check } from './errno.ts';
import { bind, result } from './libc.ts';
import { Memory } from './memory.ts';

const nativeCapget = bind('int capget(uintptr_t header, uintptr_t data)');
const nativeCapset = bind('int capset(uintptr_t header, uintptr_t data)');

// linux/capability.h: version 3 has two 32-bit halves of each set.
const VERSION_3 = 0x20080522;
const EFFECTIVE = 0;
const PERMITTED = 4;
const INHERITABLE = 8;
const HALF = 12;

export const CAP_SYS_ADMIN = 21;

const header = new Memory(8);
const data = new Memory(2 * HALF);

function prepareHeader(): void {
  header.view.setUint32(0, VERSION_3, true);
  header.view.setUint32(4, 0, true);
}

/** Whether the calling thread has `capability` in its effective set. */
export function hasCapability(capability: number): boolean {
  prepareHeader();
  if (result(nativeCapget(header.address, data.address)) < 0) return false;
  const half = data.view.getUint32((capability >>> 5) * HALF + EFFECTIVE, true);
  return ((half >>> (capability & 31)) & 1) === 1;
}

/** Numbers of the capabilities in the calling thread's permitted set: what it can give others. */
export function permittedCapabilities(): number[] {
  prepareHeader();
  check(result(nativeCapget(header.address, data.address)), 'read the capabilities of this process');
  const halves = [0, 1].map((half) => data.view.getUint32(half * HALF + PERMITTED, true));
  return Array.from({ length: 64 }, (_, number) => number).filter((number) => isIn(halves, number));
}

function isIn(halves: readonly number[], number: number): boolean {
  return (((halves[number >>> 5] ?? 0) >>> (number & 31)) & 1) === 1;
}

/** Capability numbers. */
export interface CapabilitySets {
  readonly effective: readonly number[];
  readonly permitted: readonly number[];
  readonly inheritable: readonly number[];
}

/** Replaces the calling thread's sets; what it is not permitted now stays out of all of them. */
export function setCapabilities({ effective, permitted, inheritable }: CapabilitySets): number {
  prepareHeader();
  const read = result(nativeCapget(header.address, data.address));
  if (read < 0) return read;
  for (const half of [0, 1]) {
    const at = half * HALF;
    const now = data.view.getUint32(at + PERMITTED, true);
    const kept = (now & maskOf(permitted, half)) >>> 0;
    data.view.setUint32(at + PERMITTED, kept, true);
    data.view.setUint32(at + EFFECTIVE, (kept & maskOf(effective, half)) >>> 0, true);
    data.view.setUint32(at + INHERITABLE, (kept & maskOf(inheritable, half)) >>> 0, true);
  }
  return result(nativeCapset(header.address, data.address));
}

function maskOf(numbers: readonly number[], half: number): number {
  return numbers.filter((number) => number >>> 5 === half).reduce((set, number) => set | (1 << (number & 31)), 0) >>> 0;
}
