import { readFileSync } from 'node:fs';
import { type ByteString, toBytes } from './sys/bytes.ts';

/**
 * The arguments behind the script's name, byte for byte. Node decodes them as UTF-8 and puts U+FFFD where they are not;
 * the kernel has them as they were given.
 */
export function rawArguments(): ByteString[] {
  const decoded = process.argv.slice(2);
  if (!decoded.some((argument) => argument.includes('\ufffd'))) return decoded.map(toBytes);
  const all = readFileSync('/proc/self/cmdline', 'latin1').split('\0').slice(0, -1);
  // Node's own options stand in front, so it is counted from the end.
  return decoded.length === 0 ? [] : all.slice(-decoded.length);
}
