import { randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { PAYLOAD } from '../../fs/fuse/slot.ts';
import { Splicer } from '../../fs/fuse/splicer.ts';
import { O_CLOEXEC, O_NONBLOCK } from '../../fs/sys/constants.ts';
import { EINVAL } from '../../fs/sys/errno.ts';
import { pipe2 } from '../../fs/sys/process.ts';
import { setPipeSize } from '../../fs/sys/splice.ts';
import { bytesAt, createSlot, FakeDevice } from './fake.ts';

const PAGE = 4096;
const SIZE = 40 << 10;

/** Stands for the device: what is spliced into it can be read at its other end. */
class PipeDevice {
  readonly writeEnd: number;
  readonly #readEnd: number;

  constructor() {
    const pipe = pipe2(O_CLOEXEC | O_NONBLOCK);
    if (typeof pipe === 'number') throw new Error('no pipe can be made');
    ({ readEnd: this.#readEnd, writeEnd: this.writeEnd } = pipe);
  }

  take(): Buffer {
    const bytes = Buffer.alloc(2 * SIZE);
    try {
      return bytes.subarray(0, readSync(this.#readEnd, bytes));
    } catch {
      return bytes.subarray(0, 0);
    }
  }

  close(): void {
    closeSync(this.#readEnd);
    closeSync(this.writeEnd);
  }
}

describe('Splicer', () => {
  const data = randomBytes(100_000);
  const slot = createSlot(new FakeDevice());
  let directory: string;
  let file: number;
  let device: PipeDevice;
  let splicer: Splicer;

  beforeAll(() => {
    directory = mkdtempSync(join(tmpdir(), 'lamina-splicer-'));
    writeFileSync(join(directory, 'file'), data);
    file = openSync(join(directory, 'file'), 'r');
  });
  afterAll(() => {
    closeSync(file);
    rmSync(directory, { recursive: true });
  });
  beforeEach(() => {
    device = new PipeDevice();
    splicer = new Splicer(device.writeEnd, PAGE);
    slot.uniqueLow = 0x1234;
    return () => {
      splicer.close();
      device.close();
    };
  });

  /** The reply that `data` from `offset` on is to come in. */
  function reply(offset: number, size: number): Buffer {
    const header = Buffer.alloc(PAYLOAD);
    header.writeUInt32LE(PAYLOAD + size);
    header.writeUInt32LE(0x1234, 8);
    return Buffer.concat([header, data.subarray(offset, offset + size)]);
  }

  test('takes neither what is short nor what no pipe can hold, and goes on with what one does', () => {
    const sizes = [4096, 32 << 10, 128 << 10, 512 << 10, 2 ** 31, 512 << 10];
    expect(sizes.map((size) => splicer.takes(size))).toEqual([false, true, true, true, false, true]);
  });

  test('replies with a header and the file’s bytes, wherever in a page they begin', () => {
    for (const offset of [0, PAGE, 12_345]) {
      expect(splicer.takes(SIZE)).toBe(true);
      expect(splicer.reply(slot, file, offset, SIZE)).toBe(SIZE);
      expect(device.take().equals(reply(offset, SIZE))).toBe(true);
    }
  });

  test('leaves what a file has before its end in the payload, and sends nothing', () => {
    expect(splicer.takes(SIZE)).toBe(true);
    const offset = data.length - 5000;
    expect(splicer.reply(slot, file, offset, SIZE)).toBe(5000);
    expect(bytesAt(slot.payloadAddress, 5000).equals(data.subarray(offset))).toBe(true);
    expect(splicer.reply(slot, file, data.length, SIZE)).toBe(0);
    expect(device.take()).toHaveLength(0);
  });

  test('answers the errno of what cannot be spliced, and the next reply is whole', () => {
    expect(splicer.takes(SIZE)).toBe(true);
    const other = openSync(directory, 'r');
    expect(splicer.reply(slot, other, 0, SIZE)).toBe(-EINVAL);
    closeSync(other);
    expect(splicer.reply(slot, file, 0, SIZE)).toBe(SIZE);
    expect(device.take().equals(reply(0, SIZE))).toBe(true);
  });

  test('leaves nothing of a reply that was refused to the next one', () => {
    setPipeSize(device.writeEnd, PAGE);
    expect(splicer.takes(SIZE)).toBe(true);
    expect(splicer.reply(slot, file, 0, SIZE)).toBe(SIZE);
    device.take();
    setPipeSize(device.writeEnd, 16 * PAGE);
    expect(splicer.takes(SIZE)).toBe(true);
    expect(splicer.reply(slot, file, PAGE, SIZE)).toBe(SIZE);
    expect(device.take().equals(reply(PAGE, SIZE))).toBe(true);
  });
});
