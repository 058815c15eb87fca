import { availableParallelism } from 'node:os';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { firstMissing, has, titled } from '../support/requirements.ts';
import { cannotMount, Playground, until } from './playground.ts';

/** Files that another thread copies, once it is up, and among them those that it leaves to the session's. */
const TREE = `
  umask 022; mkdir -p B/tree/0 B/tree/1 B/tree/2; cd B/tree
  for i in 0 1 2; do head -c 1200000 /dev/urandom | split -b 8000 -a 3 -d - $i/file-; done
  truncate -s 0 */*0
  setfattr -n security.note -v text */*1
  setfattr -n security.capability -v 0x0100000200200000000000000000000000000000 */*2
  for file in */*33; do ln $file $file-again; mv $file-again $file.wh.; done
  truncate -s 300000 */*4; chmod 4755 */*4
  chown 7:8 */*5
  setfacl -m u:9:r */*7
  touch -d '2001-02-03 04:05:06.123456789' */*`;

/** How often it is looked for a race. */
const ROUNDS = Number(process.env['LAMINA_RUNS'] ?? 1);

const cannotCopy = firstMissing(
  cannotMount,
  has('setfattr'),
  has('setfacl'),
  availableParallelism() > 1 ? undefined : 'needs a second processor',
);

describe.skipIf(cannotCopy !== undefined)(
  titled('a tree whose files are changed one after the other', cannotCopy),
  () => {
    let ground: Playground;
    beforeEach(() => {
      ground = new Playground();
      // Where no disk is so slow that the slow lane makes them.
      script('mkdir memory; mount -t tmpfs memory memory; mkdir memory/U memory/W');
    });
    afterEach(() => ground.clear());

    const script = (text: string): string => {
      const { code, stdout, stderr } = ground.run(['bash', '-ec', text]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      return stdout;
    };
    const mount = (): void => {
      expect(ground.fuseLamina('-o', 'lowerdir=B,upperdir=memory/U,workdir=memory/W', 'm')).toMatchObject({
        code: 0,
        stderr: '',
      });
    };
    const copiedAhead = (): number => {
      const { overlay } = JSON.parse(ground.lamina('stats', '--json', 'm').stdout) as {
        overlay: Record<string, number>;
      };
      return overlay['filesCopiedAhead'] ?? -1;
    };
    /** What users see of a tree beside its data and mode. */
    const seen = (tree: string): string =>
      script(
        `cd ${tree}; find . -type f -printf '%P %U:%G %n %s %T@\\n' | sort; find . | sort | xargs getfattr -d -m '^security'`,
      );
    const modes = (tree: string): string => script(`cd ${tree}; find . -printf '%P %m\\n' | sort`);
    const numbers = (): string => script(`cd m/tree; find . -printf '%P %i\\n' | sort`);

    test('copies made by another thread have all that the files have, and stay the same files', async () => {
      script(TREE);
      mount();
      const before = numbers();
      script('for file in m/tree/*/*; do chmod g+w $file; done; chmod -R g+w m/tree');
      expect(copiedAhead()).toBeGreaterThan(0);
      expect(numbers()).toBe(before);
      script('umount m');
      await until('nothing is left aside', () => script('ls memory/W/work') === '');
      mount();
      script('cp -a B/tree changed; chmod -R g+w changed; diff -r changed m/tree');
      expect(seen('m/tree')).toBe(seen('changed'));
      expect(modes('m/tree')).toBe(modes('changed'));
      expect(numbers()).toBe(before);
    });

    test('who goes through it in several ways at once finds each file whole, and every change made', () => {
      script(TREE);
      script('cp -a B/tree changed; chown -R 3:4 changed; chmod -R g+w changed');
      for (let round = 0; round < ROUNDS; round++) {
        mount();
        script(`
          walk() { for file in m/tree/$1/*; do chmod g+w $file; done; }
          walk 0 & walk 1 & walk 2 & chown -R 3:4 m/tree & cat m/tree/*/* >all & wait
          chmod -R g+w m/tree; chown -R 3:4 m/tree; cat B/tree/*/* | cmp - all; diff -r changed m/tree`);
        expect(seen('m/tree')).toBe(seen('changed'));
        script('umount m; rm -r memory/*; mkdir memory/U memory/W');
      }
    });
  },
);
