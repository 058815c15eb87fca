import { once } from 'node:events';
import { readFileSync, readdirSync, rmdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { firstMissing, has, titled } from '../support/requirements.ts';
import { Playground, cannotMount, until } from './playground.ts';

const missing = firstMissing(cannotMount, has('strace'), has('perl'));
const WHITEOUTS = 5000;

describe.skipIf(missing !== undefined)(titled('rmdir of a directory full of whiteouts', missing), () => {
  /** Threads of the daemon that moved the directory away, and that removed what was in it. */
  async function threadsOf(whiteouts: number): Promise<{ moved: Set<string>; removed: Set<string> }> {
    const ground = new Playground();
    try {
      const make = `mkdir A/d U/d; mknod w c 0 0; perl -e 'for (1..$ARGV[0]) { link("w", "U/d/whiteout-$_") or die $! }' ${whiteouts}`;
      expect(ground.run(['sh', '-ec', make])).toMatchObject({ code: 0 });
      expect(ground.fuseLamina('-o', 'lowerdir=A:B,upperdir=U,workdir=W', 'm')).toMatchObject({ code: 0 });
      const calls = ['-f', '-o', 'trace', '-e', 'trace=renameat2,unlinkat'];
      const { child, end } = ground.start(['strace', ...calls, '-p', String(ground.daemonOf('m'))]);
      await once(child.stderr ?? child, 'data');
      rmdirSync(ground.at('m/d'));
      await until('nothing of it is left', () => readdirSync(ground.at('W/work')).length === 0);
      expect(readdirSync(ground.at('m'))).not.toContain('d');
      expect(ground.run(['umount', 'm'])).toMatchObject({ code: 0 });
      await end;
      const trace = readFileSync(ground.at('trace'), 'latin1');
      const by = (call: RegExp): Set<string> => new Set([...trace.matchAll(call)].map(([, thread]) => thread ?? ''));
      return { moved: by(/^(\d+) +renameat2\(/gm), removed: by(/^(\d+) +unlinkat\(.*"whiteout-/gm) };
    } finally {
      ground.clear();
    }
  }

  test('leaves its removal to another thread, so that nobody waits for it', async () => {
    const { moved, removed } = await threadsOf(WHITEOUTS);
    expect([moved.size, removed.size]).toEqual([1, 1]);
    expect(removed).not.toEqual(moved);
  });

  test('removes a few at once', async () => {
    const { moved, removed } = await threadsOf(3);
    expect(moved.size).toBe(1);
    expect(removed).toEqual(moved);
  });
});
