import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Lamina } from '../container/lamina.ts';
import { firstMissing, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';
import { ARCHIVE, IMAGE, hasDebianImage, hashOfLayers } from './debian.ts';

const AT_ONCE = 20;

const missing = firstMissing(isRoot(), hasFuseDevice(), hasDebianImage());

describe.skipIf(missing !== undefined)(titled('lamina run of Debian as root', missing), () => {
  let lamina: Lamina;

  beforeAll(async () => {
    lamina = new Lamina();
    expect(await lamina.call(['load', '-i', ARCHIVE])).toMatchObject({ code: 0 });
  });
  afterAll(() => lamina.close());

  test(`${AT_ONCE} containers at once write each for itself, over one copy of the layers`, async () => {
    const before = hashOfLayers(lamina.root);
    const script = (index: number) =>
      `set -e; for i in $(seq 50); do echo ${index} >/etc/file-$i; echo ${index} >>/etc/passwd; done; rm /etc/hosts.allow 2>/dev/null || :
       test "$(cat /etc/file-* | sort -u)" = ${index}; tail -n 50 /etc/passwd | sort -u`;
    const runs = Array.from({ length: AT_ONCE }, (_, index) =>
      lamina.call(['run', '--rm', IMAGE, 'bash', '-c', script(index)]),
    );
    for (const [index, outcome] of (await Promise.all(runs)).entries()) {
      expect(outcome).toMatchObject({ code: 0, stdout: `${index}\n` });
    }
    expect(hashOfLayers(lamina.root)).toBe(before);
  });
});
