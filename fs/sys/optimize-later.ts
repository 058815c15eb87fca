import { setFlagsFromString } from 'node:v8';

/** Bytes of its bytecode that a function has run, in loops and calls, when it is optimised: four times V8's own. */
const BUDGET = 264_000;
/** What is inlined into one function, at most: less than half of V8's own. */
const INLINED = 400;

/**
 * Has V8 optimise later, and less at once. By its own measure it compiles a hundred functions in the first second of a
 * session, which takes 60 ms of a processor that the mount's users need: more than all that they gain by it. A fresh
 * mount's first 12,000 requests (2,000 files made) take a quarter less of the processor's time, 120,000 take as much.
 *
 * To be called when the program is loaded: what V8 has compiled before is another's under other flags.
 */
export function optimizeLater(): void {
  // Measured with Node 20; later versions have a compiler between these two.
  if (!process.versions.v8.startsWith('11.')) return;
  setFlagsFromString(`--interrupt-budget=${BUDGET}`);
  setFlagsFromString(`--max-inlined-bytecode-size-cumulative=${INLINED}`);
}
