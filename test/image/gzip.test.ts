import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';

import { gzip } from '../../runner/image/gzip.ts';
import { inPieces } from './ground.ts';

const MIB = 1 << 20;

async function packed(bytes: Buffer, piece: number): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const part of gzip(inPieces(bytes, piece))) parts.push(part);
  return Buffer.concat(parts);
}

describe('gzip', () => {
  const text = Buffer.from(Array.from({ length: 400_000 }, (_, at) => `line ${at % 977} of ${at}\n`).join(''));
  const mixed = Buffer.concat([text.subarray(0, 2 * MIB + 7), randomBytes(MIB), text]);

  test.each([0, 1, 9, MIB - 1, MIB, MIB + 1, 2 * MIB, mixed.length])(
    'of %d bytes is what gunzip reads',
    async (size) => {
      const bytes = mixed.subarray(0, size);
      const made = await packed(bytes, 65_537);
      expect(gunzipSync(made).equals(bytes)).toBe(true);
      const { stdout, stderr } = spawnSync('gzip', ['-dc'], { input: made, maxBuffer: 2 ** 26 });
      expect({ same: stdout.equals(bytes), stderr: stderr.toString() }).toEqual({ same: true, stderr: '' });
    },
  );

  test('is the same however the bytes come, and hardly longer than in one piece', async () => {
    const made = await packed(text, 4096);
    expect((await packed(text, 3 * MIB + 1)).equals(made)).toBe(true);
    expect(made.length).toBeLessThan(gzipSync(text).length * 1.01);
  });

  test('compresses several blocks at once, and ends with its source', async () => {
    const failing = async function* (): AsyncGenerator<Uint8Array> {
      yield* inPieces(text, MIB);
      throw new Error('the source failed');
    };
    const read = async (): Promise<void> => {
      for await (const part of gzip(failing())) expect(part.length).toBeGreaterThan(0);
    };
    await expect(read()).rejects.toThrow('the source failed');
  });
});
