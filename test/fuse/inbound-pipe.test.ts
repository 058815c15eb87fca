import { randomBytes } from 'node:crypto';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { OPCODE } from '../../fs/fuse/constants.ts';
import { InboundPipe } from '../../fs/fuse/inbound-pipe.ts';
import { BODY, type Slot } from '../../fs/fuse/slot.ts';
import { O_CLOEXEC, O_NONBLOCK } from '../../fs/sys/constants.ts';
import { EAGAIN, EINVAL } from '../../fs/sys/errno.ts';
import { read } from '../../fs/sys/file.ts';
import { pipe2 } from '../../fs/sys/process.ts';
import { setPipeSize } from '../../fs/sys/splice.ts';
import { bytesAt, createSlot, FakeDevice, request, text, u32, u64 } from './fake.ts';

const data = randomBytes(100_000);
const HEAD = 40;
const write = request(OPCODE.WRITE, 9, u64(1, 0), u32(data.length, 0), u64(0), u32(0, 0), data);
const unlink = request(OPCODE.UNLINK, 9, text('f'));

/** Stands for the kernel: what is put into it can be read and spliced. */
class PipeDevice extends FakeDevice {
  override readonly fd: number;
  readonly #writeEnd: number;

  constructor() {
    super();
    const pipe = pipe2(O_CLOEXEC | O_NONBLOCK);
    if (typeof pipe === 'number') throw new Error('no pipe can be made');
    this.fd = pipe.readEnd;
    this.#writeEnd = pipe.writeEnd;
    setPipeSize(pipe.writeEnd, 1 << 20);
  }

  put(bytes: Buffer): void {
    writeSync(this.#writeEnd, bytes);
  }

  override read(address: number, capacity: number): number {
    return read(this.fd, address, capacity);
  }

  close(): void {
    closeSync(this.fd);
    closeSync(this.#writeEnd);
  }
}

describe('InboundPipe', () => {
  let device: PipeDevice;
  let slot: Slot;
  let inbound: InboundPipe;
  let directory: string;

  beforeEach(() => {
    device = new PipeDevice();
    slot = createSlot(device);
    inbound = new InboundPipe(device, slot);
    directory = mkdtempSync(join(tmpdir(), 'lamina-inbound-'));
  });
  afterEach(() => {
    inbound.close();
    device.close();
    rmSync(directory, { recursive: true });
  });

  function receive(bytes: Buffer): number {
    device.put(bytes);
    const length = inbound.read(slot.requestAddress, slot.requestCapacity);
    expect(slot.decode(length)).toBe(true);
    return length;
  }

  const received = (): Buffer => bytesAt(slot.requestAddress, slot.length);

  test('reads the first WRITE, and leaves the data of later ones in the pipe', () => {
    receive(write);
    expect([inbound.left, received().equals(write)]).toEqual([0, true]);
    expect([receive(write), inbound.left]).toEqual([write.length, data.length]);
  });

  test('writeTo writes the data at its offset, and leaves nothing', () => {
    receive(write);
    receive(write);
    const path = join(directory, 'file');
    const file = openSync(path, 'w');
    expect(inbound.writeTo(file, 10)).toBe(data.length);
    closeSync(file);
    expect(inbound.left).toBe(0);
    expect(readFileSync(path).equals(Buffer.concat([Buffer.alloc(10), data]))).toBe(true);
  });

  test('writeTo answers an errno where the file cannot be spliced to, and load has the data where a read puts it', () => {
    receive(write);
    receive(write);
    const file = openSync(join(directory, 'file'), 'a');
    expect(inbound.writeTo(file, 0)).toBe(-EINVAL);
    closeSync(file);
    inbound.load();
    expect([inbound.left, received().equals(write)]).toEqual([0, true]);
  });

  test('has all of another request where a read puts it, and reads at once after several of them', () => {
    receive(write);
    for (let time = 0; time < 6; time++) {
      receive(unlink);
      expect([inbound.left, received().equals(unlink)]).toEqual([0, true]);
    }
    receive(write);
    expect([inbound.left, received().equals(write)]).toEqual([0, true]);
  });

  test('answers what the device answers where there is no request', () => {
    receive(write);
    expect(inbound.read(slot.requestAddress, slot.requestCapacity)).toBe(-EAGAIN);
  });

  test('has no data of a request in the pipe that is too short for it', () => {
    receive(write);
    const short = request(OPCODE.WRITE, 9, u64(1, 0), u32(5, 0), u64(0), u32(0, 0), Buffer.from('hello'));
    receive(short);
    expect([inbound.left, received().equals(short), short.length]).toEqual([0, true, BODY + HEAD + 5]);
  });
});
