// Apart from what needs memory of its own, so that a program that only parses its arguments loads no native code.

/**
 * A path or name as the kernel has it: bytes, held in a string of one character (U+0000 to U+00FF) a byte, "latin1".
 * File names need not be UTF-8, and such a string is exact, cheap to compare and works as a key.
 */
export type ByteString = string;

/** The bytes of a JavaScript string (UTF-8), as from a command line. */
export function toBytes(text: string): ByteString {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** For messages and JSON: UTF-8 where the bytes are that, else with U+FFFD in their place. */
export function toText(bytes: ByteString): string {
  return Buffer.from(bytes, 'latin1').toString('utf8');
}
