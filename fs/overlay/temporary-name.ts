import { type ByteString } from '../sys/bytes.ts';

// Names in the workdir, which threads tell each other by their numbers.

export function formatTemporary(number: number): ByteString {
  return `#${number.toString(16)}`;
}

export function numberOfTemporary(name: ByteString): number {
  return Number.parseInt(name.slice(1), 16);
}
