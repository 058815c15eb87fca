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

/**
 * Reduces the calling thread's permitted and effective sets to `wanted`, where it has them, and empties the inheritable
 * one.
 *
 * @param wanted capability numbers.
 */
export function limitCapabilities(wanted: readonly number[]): number {
  prepareHeader();
  const read = result(nativeCapget(header.address, data.address));
  if (read < 0) return read;
  for (const half of [0, 1]) {
    const mask = wanted.filter((bit) => bit >>> 5 === half).reduce((set, bit) => set | (1 << (bit & 31)), 0) >>> 0;
    const at = half * HALF;
    const kept = (data.view.getUint32(at + PERMITTED, true) & mask) >>> 0;
    data.view.setUint32(at + EFFECTIVE, kept, true);
    data.view.setUint32(at + PERMITTED, kept, true);
    data.view.setUint32(at + INHERITABLE, 0, true);
  }
  return result(nativeCapset(header.address, data.address));
}
