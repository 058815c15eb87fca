import { type Writable } from 'node:stream';

const EVENTS = ['drain', 'close', 'error'] as const;

/**
 * Resolves when a stream that was full takes more, or never will. It leaves no listener behind: a long output waits so for
 * each of its pieces.
 */
export function untilWritable(stream: Writable): Promise<void> {
  return new Promise((resolve) => {
    const settle = (): void => {
      for (const event of EVENTS) stream.off(event, settle);
      resolve();
    };
    for (const event of EVENTS) stream.on(event, settle);
  });
}
