import { describe, expect, test } from 'vitest';
import { LoopWatch } from '../../fs/fuse/loop-watch.ts';
import { eventfd } from '../../fs/sys/event.ts';
import { read, write } from '../../fs/sys/file.ts';
import { Memory } from '../../fs/sys/memory.ts';

const BETWEEN_LOOKS = 64;

/** A loop whose descriptor is an eventfd, with timers by a clock of its own. */
class FakeLoop {
  readonly fd = eventfd();
  now = 1000;
  left = -1;
  isAwaited = false;
  readonly #one = new Memory(8);

  timeout(): number {
    return this.left;
  }

  set(): void {
    this.#one.view.setUint32(0, 1, true);
    write(this.fd, this.#one.address, 8);
  }

  clear(): void {
    read(this.fd, this.#one.address, 8);
  }
}

function begin(left: number): { loop: FakeLoop; watch: LoopWatch } {
  const loop = new FakeLoop();
  const watch = new LoopWatch(
    loop,
    () => loop.isAwaited,
    () => loop.now,
  );
  loop.left = left;
  watch.begin();
  return { loop, watch };
}

/** Requests until the loop is found due. */
function requestsUntilDue(watch: LoopWatch): number {
  for (let request = 1; request <= 2 * BETWEEN_LOOKS; request++) if (watch.isDue()) return request;
  return Infinity;
}

describe('LoopWatch', () => {
  test('finds a loop that has something to do due after some requests, and once only', () => {
    const { loop, watch } = begin(-1);
    expect(requestsUntilDue(watch)).toBe(Infinity);
    loop.set();
    expect(requestsUntilDue(watch)).toBeLessThanOrEqual(BETWEEN_LOOKS);
    loop.clear();
    watch.begin();
    expect(requestsUntilDue(watch)).toBe(Infinity);
  });

  test('finds it due after one request where it is awaited', () => {
    const { loop, watch } = begin(-1);
    expect(watch.isDue()).toBe(false);
    loop.set();
    loop.isAwaited = true;
    expect(watch.isDue()).toBe(true);
  });

  test('finds the loop due when its next timer is, though requests come all the time', () => {
    const { loop, watch } = begin(30);
    loop.now += 29;
    expect(requestsUntilDue(watch)).toBe(Infinity);
    loop.now += 1;
    expect(requestsUntilDue(watch)).toBeLessThanOrEqual(BETWEEN_LOOKS);
  });

  test('bounds a wait by the next timer, whose coming ends it', () => {
    expect([-1, 500].map((timeout) => begin(-1).watch.bound(timeout))).toEqual([-1, 500]);
    const { loop, watch } = begin(30);
    loop.now += 9.5;
    expect([-1, 500, 10].map((timeout) => watch.bound(timeout))).toEqual([21, 21, 10]);
    expect(watch.woken(false, true)).toBe(false);
    loop.now += 20.5;
    expect([watch.bound(-1), watch.woken(false, true), watch.isDue()]).toEqual([0, true, true]);
  });

  test('is due at once after a wait that the loop has ended', () => {
    const { watch } = begin(-1);
    expect([watch.isDue(), watch.woken(true, false), watch.isDue()]).toEqual([false, true, true]);
  });

  test('has a loop that always says that it has something to do wait in the end', () => {
    const { watch } = begin(0);
    expect(watch.bound(-1)).toBe(0);
    for (let turn = 0; turn < 100; turn++) watch.begin();
    expect(watch.bound(-1)).toBe(1);
  });
});
