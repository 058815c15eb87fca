import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { DIST } from '../support/paths.ts';

/** Milliseconds after which the process ends, while the thread comes up: it is in a call of ours at some of them. */
const MOMENTS = Array.from({ length: 24 }, (_, index) => 10 + index);

describe('startSpareWorker', () => {
  test('the process ends with its own code at any moment while the thread comes up', () => {
    const load = ['fs/sys/load-compiled.js', 'fs/index.js'].map(
      (file) => `require(${JSON.stringify(join(DIST, file))})`,
    );
    const codes = MOMENTS.map((moment) => {
      const script = `${load.join(';')}.prepareMount(); setTimeout(() => process.exit(7), ${moment})`;
      return spawnSync(process.execPath, ['-e', script], { stdio: 'ignore' }).status;
    });
    expect(codes).toEqual(MOMENTS.map(() => 7));
  });
});
