// What docker and podman call detach keys: keys that, typed one after another, leave a container that goes on running.

/** As docker and podman have it. */
export const DEFAULT_DETACH_KEYS = 'ctrl-p,ctrl-q';

// ASCII's control characters by the key that is pressed along with ctrl.
const CONTROL_KEYS = '@abcdefghijklmnopqrstuvwxyz[\\]^_';

/**
 * The bytes of a sequence such as `ctrl-p,ctrl-q` or `ctrl-a,d`: single characters, and `ctrl-` with a letter or one of
 * `@ [ \ ] ^ _`. An empty text is the empty sequence, which never detaches.
 */
export function parseDetachKeys(text: string): Buffer {
  if (text === '') return Buffer.alloc(0);
  return Buffer.from(text.split(',').map((key) => keyCode(key, text)));
}

function keyCode(key: string, text: string): number {
  const control = /^ctrl-(.)$/i.exec(key)?.[1];
  const code = control === undefined ? -1 : CONTROL_KEYS.indexOf(control.toLowerCase());
  if (code >= 0) return code;
  if (/^[\x21-\x7e]$/.test(key)) return key.charCodeAt(0);
  throw new Error(
    `detach keys ${JSON.stringify(text)}: ${JSON.stringify(key)} is no key: give characters and ctrl-X, ` +
      'X a letter or one of @ [ \\ ] ^ _, with commas between them',
  );
}

/** What is typed, on its way to a container. */
export interface Typed {
  readonly bytes: Buffer;
  /** The detach keys have been typed. They and what follows are not in `bytes`. */
  readonly detached: boolean;
}

/** Looks for the detach keys in what is typed: their beginning is held back until it is clear that it is no more. */
export class DetachFilter {
  readonly #keys: Buffer;
  #matched = 0;

  constructor(keys: Buffer) {
    this.#keys = keys;
  }

  feed(typed: Buffer): Typed {
    if (this.#keys.length === 0) return { bytes: typed, detached: false };
    const passed: number[] = [];
    for (const byte of typed) {
      this.#take(byte, passed);
      if (this.#matched === this.#keys.length) return { bytes: Buffer.from(passed), detached: true };
    }
    return { bytes: Buffer.from(passed), detached: false };
  }

  /** What is held back when nothing more will be typed. */
  rest(): Buffer {
    const held = this.#keys.subarray(0, this.#matched);
    this.#matched = 0;
    return held;
  }

  #take(byte: number, passed: number[]): void {
    while (this.#matched > 0 && this.#keys[this.#matched] !== byte) {
      const shorter = this.#border(this.#matched);
      passed.push(...this.#keys.subarray(0, this.#matched - shorter));
      this.#matched = shorter;
    }
    if (this.#keys[this.#matched] === byte) this.#matched += 1;
    else passed.push(byte);
  }

  /** Length of the longest shorter beginning of the keys that the first `length` of them end with. */
  #border(length: number): number {
    for (let shorter = length - 1; shorter > 0; shorter -= 1) {
      const end = this.#keys.subarray(length - shorter, length);
      if (end.equals(this.#keys.subarray(0, shorter))) return shorter;
    }
    return 0;
  }
}
