import { closeSync, readdirSync, readlinkSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { inNamespaces } from '../../runner/container/stage-namespaces.ts';
import { firstMissing, isRoot, titled } from '../support/requirements.ts';

const missing = firstMissing(isRoot());

describe.skipIf(missing)(titled('inNamespaces', missing), () => {
  const own = (): string[] =>
    ['pid_for_children', 'net', 'pid'].map((kind) => readlinkSync(`/proc/thread-self/ns/${kind}`));
  const descriptors = (): number => readdirSync('/proc/self/fd').length;

  test('has this thread in new namespaces while something is begun, and in its own again after that', () => {
    const [before, open] = [own(), descriptors()];
    const inside = inNamespaces({ network: 'own', processes: 'own' }, () => readlinkSync('/proc/thread-self/ns/net'));
    expect(inside?.begun).not.toBe(before[1]);
    expect(own()).toEqual(before);
    const { networkNamespace = -1 } = inside ?? {};
    expect(readlinkSync(`/proc/self/fd/${networkNamespace}`)).toBe(inside?.begun);
    closeSync(networkNamespace);
    expect(descriptors()).toBe(open);
  });

  test('comes back where nothing could be begun, and leaves no descriptor', () => {
    const [before, open] = [own(), descriptors()];
    const begin = (): never => {
      throw new Error('not begun');
    };
    expect(() => inNamespaces({ network: 'own', processes: 'own' }, begin)).toThrow('not begun');
    expect(own()).toEqual(before);
    expect(descriptors()).toBe(open);
  });

  test('leaves those that are inherited', () => {
    const inside = inNamespaces({ network: 'inherited', processes: 'inherited' }, own);
    expect(inside).toEqual({ begun: own(), networkNamespace: undefined });
  });
});
