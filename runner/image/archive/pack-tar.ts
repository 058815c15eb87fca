import { type ArchiveFiles } from './files.ts';

const BLOCK = 512;

/** A tar archive of the files, as it is asked for: at no time is more than a piece of one file in memory. */
export async function* packTar(files: ArchiveFiles): AsyncGenerator<Uint8Array, void, undefined> {
  for await (const { name, size, content } of files) {
    yield createHeader(name, size);
    yield* content;
    yield Buffer.alloc((BLOCK - (size % BLOCK)) % BLOCK);
  }
  yield Buffer.alloc(2 * BLOCK);
}

/** No owner and no time: the same files make the same archive, whoever writes it and whenever. */
function createHeader(name: string, size: number): Buffer {
  const header = Buffer.alloc(BLOCK);
  header.write(name, 0, 100, 'latin1');
  header.write(octal(0o644, 8), 100, 'latin1');
  header.write(octal(0, 8), 108, 'latin1');
  header.write(octal(0, 8), 116, 'latin1');
  writeSize(header, size);
  header.write(octal(0, 12), 136, 'latin1');
  header.write('0', 156, 'latin1');
  header.write('ustar\0' + '00', 257, 'latin1');
  header.fill(' ', 148, 156);
  const sum = header.reduce((all, byte) => all + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

function octal(value: number, width: number): string {
  return `${value.toString(8).padStart(width - 1, '0')}\0`;
}

/** Eleven octal digits; from 8 GiB on the number itself, which every reader of today knows. */
function writeSize(header: Buffer, size: number): void {
  if (size < 8 ** 11) {
    header.write(octal(size, 12), 124, 'latin1');
    return;
  }
  header.writeUInt8(0x80, 124);
  header.writeUInt32BE(Math.floor(size / 2 ** 32), 128);
  header.writeUInt32BE(size % 2 ** 32, 132);
}
