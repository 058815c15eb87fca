import { PassThrough } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { untilWritable } from '../../runner/container/supervisor/until-writable.ts';

const EVENTS = ['drain', 'close', 'error'] as const;

/** A stream that was given more than it takes. */
function full(): PassThrough {
  const stream = new PassThrough({ highWaterMark: 1 });
  expect(stream.write('more')).toBe(false);
  stream.on('error', () => undefined);
  return stream;
}

function listeners(stream: PassThrough): number[] {
  return EVENTS.map((event) => stream.listenerCount(event));
}

describe('untilWritable', () => {
  test.each([
    ['is read', (stream: PassThrough) => stream.resume()],
    ['is closed', (stream: PassThrough) => stream.destroy()],
    ['fails', (stream: PassThrough) => stream.destroy(new Error('lost'))],
  ])('resolves when the stream %s, and leaves no listener', async (_, settle) => {
    const stream = full();
    const before = listeners(stream);
    const writable = untilWritable(stream);
    expect(listeners(stream)).not.toEqual(before);
    settle(stream);
    await writable;
    expect(listeners(stream)).toEqual(before);
  });
});
