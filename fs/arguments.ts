import { readFileSync } from 'node:fs';
import { type ByteString, toBytes, toText } from './sys/text.ts';

/**
 * The arguments behind the script's name, byte for byte. Node decodes them as UTF-8 and puts U+FFFD where they are not;
 * the kernel has them as they were given.
 */
export function rawArguments(): ByteString[] {
  const decoded = process.argv.slice(2);
  if (!decoded.some((argument) => argument.includes('\ufffd'))) return decoded.map(toBytes);
  const all = readFileSync('/proc/self/cmdline', 'latin1').split('\0').slice(0, -1);
  // Node's own options stand in front, so it is counted from the end.
  return all.slice(-decoded.length);
}

/** The bytes of a path that a parser of the decoded arguments gave: a whole argument, or what follows `--option=`. */
export function argumentBytes(text: string): ByteString {
  if (!text.includes('\ufffd')) return toBytes(text);
  for (const raw of rawArguments()) {
    const equals = raw.indexOf('=');
    if (toText(raw) === text) return raw;
    if (equals >= 0 && toText(raw.slice(equals + 1)) === text) return raw.slice(equals + 1);
  }
  return toBytes(text);
}
