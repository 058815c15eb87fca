// What a terminal obeys (C0 and C1 controls, DEL), what ends a line, and what turns or hides the text around it.
const UNSAFE = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu;

function escaped(character: string): string {
  const code = character.codePointAt(0) ?? 0;
  if (code < 0x100) return `\\x${code.toString(16).padStart(2, '0')}`;
  return code < 0x10000 ? `\\u${code.toString(16).padStart(4, '0')}` : `\\u{${code.toString(16)}}`;
}

/**
 * Text of one line for a terminal: names, labels and messages come from images and registries, which may hold escape
 * sequences, and lines that look like ours.
 */
export function printable(text: string): string {
  return text.replace(UNSAFE, escaped);
}

/** JSON.stringify leaves all but C0 controls as they are; escaped, what is not printable is still the same value. */
export function printableJson(value: unknown, indent?: number): string {
  // What it makes itself is printable but for the ends of its lines.
  return JSON.stringify(value, null, indent).replace(UNSAFE, (character) =>
    character === '\n' ? character : escapedUnits(character),
  );
}

// JSON has no braces: what lies beyond 16 bits is two units.
function escapedUnits(character: string): string {
  return character
    .split('')
    .map((unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    .join('');
}
