import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DIST } from '../support/paths.ts';
import { firstMissing, has, titled } from '../support/requirements.ts';
import { cannotMount, Playground } from './playground.ts';

const LAYERS = 500;
const NAME = 'a layer with a name so long that a page of mount data holds few of them, and a : in it';

const missing = firstMissing(cannotMount, has('setpriv'));

describe.skipIf(missing !== undefined)(titled(`${LAYERS} layers`, missing), () => {
  let ground: Playground;
  beforeEach(() => {
    ground = new Playground();
    for (let index = 0; index < LAYERS; index++) {
      mkdirSync(ground.at(`${NAME}${index}/d/sub${index}`), { recursive: true });
      writeFileSync(ground.at(`${NAME}${index}/d/file${index}`), `${index}`);
    }
  });
  afterEach(() => ground.clear());

  function mountWithin(limit: number, options: readonly string[]): unknown {
    const program = [join(DIST, 'cli/fuse-lamina'), ...options, 'm'];
    // Without the capability, the daemon has to make do with the limit that it finds.
    const modest = [
      'setpriv',
      '--bounding-set',
      '-sys_resource',
      '--',
      'sh',
      '-c',
      `ulimit -n ${limit}; exec "$@"`,
      'sh',
    ];
    return ground.run([...modest, ...program]);
  }

  function expectWhole(limit: number): void {
    expect(readdirSync(ground.at('m/d'))).toHaveLength(2 * LAYERS);
    for (let index = 0; index < LAYERS; index++) {
      expect(readFileSync(ground.at(`m/d/file${index}`), 'utf8')).toBe(`${index}`);
      expect(readdirSync(ground.at(`m/d/sub${index}`))).toEqual([]);
    }
    expect(readdirSync(`/proc/${ground.daemonOf('m')}/fd`).length).toBeLessThan(limit);
  }

  test('given by lowerdir= are served with 1,024 open files', { timeout: 120_000 }, () => {
    const lowers = Array.from({ length: LAYERS }, (_, index) => `${NAME}${index}`.replace(/[:,]/g, '\\$&'));
    const options = ['-o', `lowerdir=${lowers.join(':')},upperdir=U,workdir=W`];
    expect(mountWithin(1024, options)).toEqual({ code: 0, stdout: '', stderr: '' });
    expectWhole(1024);
  });

  test('given by lowerdir+= are served with 1,024 open files', { timeout: 120_000 }, () => {
    const options = Array.from({ length: LAYERS }, (_, index) => `-olowerdir+=${NAME}${index}`.replace(/,/g, '\\,'));
    expect(mountWithin(1024, options)).toEqual({ code: 0, stdout: '', stderr: '' });
    expectWhole(1024);
  });
});
