import {
  chmodSync,
  closeSync,
  existsSync,
  linkSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { crc32 } from 'node:zlib';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { idsOf, indexPath } from '../../fs/layer-index/file.ts';
import { gatherIndex, writeLayerIndex } from '../../fs/layer-index/gather.ts';
import { HAS_DOT_NAMES, HEADER, LayerIndex, NO_PLACE, RECORD, ROOT_PLACE } from '../../fs/layer-index/layer-index.ts';
import { Attr } from '../../fs/sys/attr.ts';
import { toBytes } from '../../fs/sys/bytes.ts';
import { fstat, statat } from '../../fs/sys/file.ts';
import { Memory } from '../../fs/sys/memory.ts';
import { type Driver, Ground } from './driver.ts';

const isRoot = process.getuid?.() === 0;

let ground: Ground;
let low: string;

beforeEach(() => {
  ground = new Ground();
  low = ground.directory('low');
  mkdirSync(join(low, 'd/e'), { recursive: true });
  writeFileSync(join(low, 'd/f'), 'text', { mode: 0o640 });
  writeFileSync(join(low, 'd/été'), 'a name that is not ASCII');
  linkSync(join(low, 'd/f'), join(low, 'd/e/g'));
  symlinkSync('../target', join(low, 'd/link'));
});

afterEach(() => ground.remove());

function index(): Buffer {
  const fd = openSync(low, 'r');
  try {
    return gatherIndex(fd);
  } finally {
    closeSync(fd);
  }
}

function parse(bytes: Buffer): LayerIndex | string {
  const memory = new Memory(bytes.length);
  bytes.copy(memory.bytes);
  const root = new Attr();
  const fd = openSync(low, 'r');
  fstat(fd, root);
  closeSync(fd);
  return LayerIndex.parse(memory, root, idsOf());
}

/** As `bytes`, changed by somebody who gives it the right checksum. */
function forged(bytes: Buffer, change: (copy: Buffer) => void): Buffer {
  const copy = Buffer.from(bytes);
  change(copy);
  copy.writeUInt32LE(crc32(copy.subarray(HEADER.sizeof)), HEADER.crc);
  return copy;
}

const recordAt = (place: number, field: number): number => HEADER.sizeof + place * RECORD.sizeof + field;

describe('LayerIndex.parse', () => {
  test('gives back what gatherIndex found, as statx tells it', () => {
    const parsed = parse(index());
    if (typeof parsed === 'string') throw new Error(parsed);
    const directory = parsed.find(ROOT_PLACE, 'd');
    const names = ['e', 'f', 'link', toBytes('été')];
    const [first, end] = [parsed.firstOf(directory), parsed.endOf(directory)];
    expect(Array.from({ length: end - first }, (_, at) => parsed.name(first + at))).toEqual(names);
    const fd = openSync(join(low, 'd'), 'r');
    for (const name of names) {
      const [told, real] = [new Attr(), new Attr()];
      statat(fd, name, real);
      parsed.fill(parsed.find(directory, name), told, Math.floor(real.dev / 2 ** 20), real.dev % 2 ** 20);
      const seen = (attr: Attr): unknown[] => [
        ...[attr.ino, attr.mode, attr.nlink, attr.uid, attr.gid, attr.size, attr.blocks, attr.dev],
        ...[attr.mtimeSec, attr.mtimeNsec, attr.ctimeSec, attr.ctimeNsec],
      ];
      expect(seen(told)).toEqual(seen(real));
    }
    closeSync(fd);
    const memory = new Memory(64);
    const length = parsed.readTarget(parsed.find(directory, 'link'), memory.address, memory.size);
    expect(memory.bytes.toString('latin1', 0, length)).toBe('../target');
    for (const missing of ['', 'a', 'ff', 'zz']) expect(parsed.find(directory, missing)).toBe(NO_PLACE);
  });

  test('tells of names that may be whiteouts', () => {
    writeFileSync(join(low, 'd/.wh.x'), '');
    const parsed = parse(index());
    if (typeof parsed === 'string') throw new Error(parsed);
    expect(parsed.flags(parsed.find(ROOT_PLACE, 'd')) & HAS_DOT_NAMES).not.toBe(0);
    expect(parsed.flags(ROOT_PLACE) & HAS_DOT_NAMES).toBe(0);
  });

  test('takes no file that is cut, longer, damaged in any byte, of another version, of other ids or of another layer', () => {
    const whole = index();
    for (let length = 0; length < whole.length; length += 7)
      expect(parse(whole.subarray(0, length))).toBeTypeOf('string');
    expect(parse(Buffer.concat([whole, Buffer.alloc(1)]))).toBeTypeOf('string');
    const used = [...Array(HEADER.ctimeNsec + 4).keys()];
    for (let at = HEADER.sizeof; at < whole.length; at += 5) used.push(at);
    for (const at of used) {
      const copy = Buffer.from(whole);
      copy[at] = (copy[at] ?? 0) ^ 0x41;
      expect(parse(copy), `byte ${at}`).toBeTypeOf('string');
    }
  });

  test.each<[string, (copy: Buffer) => void]>([
    ['a name of another file in it', (copy) => copy.writeUInt32LE(2 ** 31, recordAt(2, RECORD.name))],
    ['a name longer than the names', (copy) => copy.writeUInt16LE(0xffff, recordAt(2, RECORD.nameLength))],
    ['a file without a name', (copy) => copy.writeUInt16LE(0, recordAt(2, RECORD.nameLength))],
    ['a directory that is its own child', (copy) => copy.writeUInt32LE(0, recordAt(1, RECORD.first))],
    ['more children than there are', (copy) => copy.writeUInt32LE(2 ** 31, recordAt(1, RECORD.length))],
    ['children that are in no directory', (copy) => copy.writeUInt32LE(1, recordAt(1, RECORD.length))],
    ['a target outside', (copy) => copy.writeUInt32LE(2 ** 31, recordAt(4, RECORD.length))],
    ['a name that leads up', (copy) => void copy.write('..', copy.indexOf('deflink') + 1)],
    ['a name with a slash', (copy) => void copy.write('/', copy.indexOf('deflink') + 4)],
    ['a name with a NUL', (copy) => void copy.write('\0', copy.indexOf('deflink') + 4)],
  ])('takes none with %s, though its checksum is right', (what, change) => {
    const copy = forged(index(), (bytes) => {
      // Two bytes for one name, in which `..` has room.
      if (what.includes('leads up')) bytes.writeUInt16LE(2, recordAt(3, RECORD.nameLength));
      change(bytes);
    });
    expect(parse(copy)).toBe('is malformed');
  });
});

describe.skipIf(!isRoot)('a lower layer with an index (needs root)', () => {
  const write = (): void => writeLayerIndex(toBytes(low));
  const mount = (options = {}): Driver => ground.overlay([low], options);

  /** The files' modes tell whether they are the index's or the layer's. */
  function isUsed(union: Driver): boolean {
    chmodSync(join(low, 'd/f'), 0o600);
    const used = (union.stat('d/f').mode & 0o777) === 0o640;
    union.close();
    chmodSync(join(low, 'd/f'), 0o640);
    return used;
  }

  test('answers without a look at the layer, and not with layer_index=off, another writer, or an index that others may write', () => {
    expect(isUsed(mount())).toBe(false);
    write();
    expect(isUsed(mount())).toBe(true);
    expect(isUsed(mount({ layerIndex: 'off' }))).toBe(false);
    expect(isUsed(mount({ timeout: 0 }))).toBe(false);
    chmodSync(indexPath(toBytes(low)), 0o666);
    expect(isUsed(mount())).toBe(false);
    chmodSync(indexPath(toBytes(low)), 0o600);
    expect(isUsed(mount())).toBe(true);
    writeFileSync(indexPath(toBytes(low)), readFileSync(indexPath(toBytes(low))).subarray(0, 100));
    expect(isUsed(mount())).toBe(false);
  });

  test('is that of its own directory: not of one put in its place', () => {
    write();
    renameSync(low, `${low}.old`);
    mkdirSync(join(low, 'd'), { recursive: true });
    writeFileSync(join(low, 'd/new'), '');
    const union = mount();
    expect(union.list('d')).toEqual(['new']);
    union.close();
  });

  test('is no longer used once a file that is opened turns out to be another', () => {
    write();
    const union = mount();
    expect(union.stat('d/f').size).toBe(4);
    writeFileSync(join(low, 'd/f'), 'a longer text');
    expect(() => union.read('d/f')).toThrow('ESTALE');
    expect(union.read('d/f')).toBe('a longer text');
    expect(union.stat('d/f').size).toBe(13);
    union.close();
  });

  test('lists, reads, copies up and hides as one without', () => {
    write();
    expect(existsSync(`${low}.lamina-index`)).toBe(true);
    const union = mount();
    expect(union.entries('d', true).map(({ name }) => name)).toEqual(['e', 'f', 'link', 'été']);
    union.write('d/f', 'new');
    expect(union.read('d/e/g')).toBe('new');
    union.unlink('d/link');
    expect(union.list('d')).toEqual(['e', 'f', 'été']);
    union.close();
  });
});
