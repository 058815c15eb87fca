import { existsSync, realpathSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import type koffi from 'koffi';

type Koffi = typeof koffi;

/** By what musl has programs loaded: koffi has another binary for them. */
const MUSL = ['/lib/ld-musl-x86_64.so.1', '/lib/ld-musl-aarch64.so.1'];

/** Of the koffi that Node would find from here; undefined where its binary is not in the usual place for glibc. */
function findBinary(): string | undefined {
  if (MUSL.some(existsSync)) return undefined;
  const beside = `@koromix/koffi-linux-${process.arch}/linux_${process.arch}/koffi.node`;
  for (let at = import.meta.dirname; at !== dirname(at); at = dirname(at)) {
    const found = `${at}/node_modules/koffi`;
    if (!existsSync(found)) continue;
    const real = realpathSync(found);
    return [`${real}/node_modules/${beside}`, `${dirname(real)}/${beside}`].find(existsSync);
  }
  return undefined;
}

function load(): Koffi {
  const require = createRequire(import.meta.url);
  const binary = findBinary();
  try {
    if (binary !== undefined) return require(binary) as Koffi;
  } catch {
    // koffi's own loader has other ways, and says what is wrong.
  }
  return require('koffi') as Koffi;
}

let loaded: Koffi | undefined;

/**
 * koffi, loaded when it is first asked for. Its own loader takes each process and thread 5 ms to find the binary, by
 * looking at all that it runs on; the binary itself, 1 ms.
 */
export function loadKoffi(): Koffi {
  return (loaded ??= load());
}
