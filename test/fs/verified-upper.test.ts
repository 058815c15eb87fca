import { mkdirSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { firstMissing, has, titled } from '../support/requirements.ts';
import { KERNEL } from '../support/mounters.ts';
import { cannotMount, Playground } from './playground.ts';

const missing = firstMissing(cannotMount, has('setfattr'));
const withoutKernel = missing ?? KERNEL.missing;

const OTHER_LOWER =
  /^cannot mount: upperdir U was made over another lower layer than B: give the layers that it had, or/;
const OTHER_UPPER =
  /^cannot mount: the index in workdir W is of another upper than V: give the one that it was used with, or/;

function options(lower: string, upper: string, index: string): string {
  return `lowerdir=${lower},upperdir=${upper},workdir=W${index}`;
}

describe.skipIf(missing !== undefined)(titled('an upper that was mounted before', missing), () => {
  let ground: Playground;
  beforeEach(() => {
    ground = new Playground();
    mkdirSync(ground.at('V'));
  });
  afterEach(() => ground.clear());

  const lamina = (...given: Parameters<typeof options>) => {
    const { code, stderr } = ground.fuseLaminaIn({}, '-o', options(...given), 'm');
    if (code === 0) ground.run(['umount', 'm']);
    return code === 0 ? 'mounted' : stderr.replace(/^\S+: /, '');
  };
  const kernel = (...given: Parameters<typeof options>) => {
    const { code } = ground.run(['mount', '-t', 'overlay', 'none', '-o', options(...given), 'm']);
    if (code === 0) ground.run(['umount', 'm']);
    return code === 0 ? 'mounted' : 'refused';
  };

  test('over another lower layer is refused with index=on, and mounted where nobody asks for the index', () => {
    expect(lamina('A', 'U', ',index=on')).toBe('mounted');
    expect(lamina('B', 'U', ',index=on')).toMatch(OTHER_LOWER);
    expect(lamina('B', 'U', '')).toBe('mounted');
    expect(lamina('B', 'U', ',index=off')).toBe('mounted');
    expect(lamina('A', 'U', ',index=on')).toBe('mounted');
  });

  test('is not mounted with the index of another with index=on', () => {
    expect(lamina('A', 'U', ',index=on')).toBe('mounted');
    expect(lamina('A', 'V', ',index=on')).toMatch(OTHER_UPPER);
    expect(lamina('A', 'V', '')).toBe('mounted');
  });

  test.skipIf(withoutKernel !== undefined)(titled('by kernel overlayfs is known', withoutKernel), () => {
    expect(kernel('A', 'U', ',index=on')).toBe('mounted');
    expect(lamina('B', 'U', ',index=on')).toMatch(OTHER_LOWER);
    expect(lamina('A', 'V', ',index=on')).toMatch(OTHER_UPPER);
    expect(lamina('A', 'U', ',index=on')).toBe('mounted');
  });

  test.skipIf(withoutKernel !== undefined)(titled('by lamina is known to kernel overlayfs', withoutKernel), () => {
    expect(lamina('A', 'U', ',index=on')).toBe('mounted');
    expect(kernel('B', 'U', ',index=on')).toBe('refused');
    expect(kernel('A', 'V', ',index=on')).toBe('refused');
    expect(kernel('A', 'U', ',index=on')).toBe('mounted');
  });
});
