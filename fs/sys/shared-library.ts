import { loadKoffi } from './koffi.ts';

type Library = ReturnType<ReturnType<typeof loadKoffi>['load']>;

/**
 * Loads a library that not every machine has, when it is first needed.
 *
 * @param what said before the library's name where it is not there: what it is needed for.
 * @param remedy said behind it.
 */
export function loadShared(soname: string, what: string, remedy: string): Library {
  try {
    return loadKoffi().load(soname);
  } catch {
    throw new Error(`${what}: ${soname} is not there; ${remedy}`);
  }
}
