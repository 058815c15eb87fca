import { once } from 'node:events';
import { readFileSync, truncateSync, unlinkSync, writeFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { firstMissing, has, titled } from '../support/requirements.ts';
import { Playground, cannotMount, until } from './playground.ts';

const missing = firstMissing(cannotMount, has('strace'));
const MIB = 1 << 20;

describe.skipIf(missing !== undefined)(titled('unlink of a file', missing), () => {
  /** Threads of the daemon that took its name, and that closed what had held it, which frees it. */
  async function threadsOf(mebibytes: number): Promise<{ unlinked: string; closed: string }> {
    const ground = new Playground();
    try {
      expect(ground.fuseLamina('-o', 'lowerdir=A:B,upperdir=U,workdir=W', 'm')).toMatchObject({ code: 0 });
      writeFileSync(ground.at('m/file'), 'text');
      truncateSync(ground.at('m/file'), mebibytes * MIB);
      const calls = ['-f', '-y', '-o', 'trace', '-e', 'trace=unlinkat,close'];
      const { child, end } = ground.start(['strace', ...calls, '-p', String(ground.daemonOf('m'))]);
      await once(child.stderr ?? child, 'data');
      unlinkSync(ground.at('m/file'));
      /** The thread of the last such call. */
      const last = (call: RegExp): string => {
        const lines = readFileSync(ground.at('trace'), 'latin1').split('\n');
        return lines.findLast((line) => call.test(line))?.split(' ')[0] ?? '';
      };
      const UNLINK = / unlinkat\(.*"file"/;
      const CLOSE = / close\(\d+<[^>]*\/file\b/;
      await until('it is gone', () => last(UNLINK) !== '' && last(CLOSE) !== '');
      expect(ground.run(['umount', 'm'])).toMatchObject({ code: 0 });
      await end;
      return { unlinked: last(UNLINK), closed: last(CLOSE) };
    } finally {
      ground.clear();
    }
  }

  test('that is large leaves it to another thread to free it, so that nobody waits for it', async () => {
    const { unlinked, closed } = await threadsOf(100);
    expect(closed).not.toBe(unlinked);
  });

  test('that is small frees it at once', async () => {
    const { unlinked, closed } = await threadsOf(1);
    expect(closed).toBe(unlinked);
  });
});
