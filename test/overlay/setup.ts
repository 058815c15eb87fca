import { afterEach, beforeEach } from 'vitest';
import { type Driver, Ground } from './driver.ts';

// What every test of the union begins with: an upper, a workdir, two lower layers, and no union yet.

export const isRoot = process.getuid?.() === 0;

export let ground: Ground;
export let low: string;
export let deep: string;
export let union: Driver;

beforeEach(() => {
  ground = new Ground();
  low = ground.directory('low');
  deep = ground.directory('deep');
});

afterEach(() => {
  union.close();
  ground.remove();
});

/** Makes a union the one that the test is about, to be closed at its end. */
export function use(driver: Driver): void {
  union = driver;
}

/** The union of both lower layers and the upper. */
export function mount(options = {}): void {
  use(ground.overlay([low, deep], options));
}
