import { setImmediate as turn } from 'node:timers/promises';
import { isMainThread } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { PollSet } from '../../fs/sys/event.ts';
import { EventLoop } from '../../fs/sys/event-loop.ts';

const LONG = 60_000;

/** What a callback of setImmediate finds. */
const inTurn = (look: () => number): Promise<number> =>
  new Promise((resolve) => {
    setImmediate(() => resolve(look()));
  });

describe('EventLoop of this Node', () => {
  let loop: EventLoop;
  beforeEach(async () => {
    expect(isMainThread).toBe(true);
    const opened = EventLoop.open();
    if (opened === undefined) throw new Error(`Node ${process.version} does not lend its event loop`);
    loop = opened;
    await turn();
  });
  afterEach(() => loop.close());

  test('has a timeout of as long as its next timer takes', async () => {
    const long = setTimeout(() => undefined, LONG);
    const before = await inTurn(() => loop.timeout());
    const short = setTimeout(() => undefined, LONG / 2);
    const after = await inTurn(() => loop.timeout());
    clearTimeout(long);
    clearTimeout(short);
    // The test's own runner may have timers, too.
    expect([before > 0, before <= LONG, after > 0, after <= LONG / 2]).toEqual([true, true, true, true]);
  });

  test('has something to do at once where another immediate is to come', async () => {
    const timeout = await inTurn(() => {
      setImmediate(() => undefined);
      return loop.timeout();
    });
    expect(timeout).toBe(0);
  });

  test('is readable when a signal has come, and no longer when it was heard', async () => {
    const waiting = new PollSet([loop.fd]);
    let heard = 0;
    const listener = (): void => {
      heard += 1;
    };
    process.on('SIGUSR2', listener);
    await turn();
    const ready = await inTurn(() => {
      process.kill(process.pid, 'SIGUSR2');
      return waiting.wait(LONG);
    });
    expect([ready, waiting.isReady(0), heard]).toEqual([1, true, 0]);
    while (heard === 0) await turn();
    process.off('SIGUSR2', listener);
  });
});
