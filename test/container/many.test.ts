import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ContainerState } from '../../runner/container/container.ts';
import { firstMissing, has, hasFuseDevice, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';
import { Lamina, type Outcome, ended, makeUser, recipe, removeUser } from './lamina.ts';
import { type Inventory, Machine } from './machine.ts';
import { missingNetworks } from './private-host.ts';

const missing = firstMissing(isRoot(), hasFuseDevice(), ...['unshare', 'nsenter'].map(has));
const withUsers = firstMissing(missing, hasUserNamespaces(), ...['useradd', 'setpriv', 'newuidmap'].map(has));

/** How many containers: `LAMINA_MANY` in a row and a quarter of it at once, of each kind of user. */
const MANY = Number(process.env['LAMINA_MANY'] ?? 0);

interface Numbers {
  readonly inARow: number;
  readonly atOnce: number;
  /** Rounds of commands that one supervisor answers. */
  readonly rounds: number;
}

const numbersOr = (few: Numbers): Numbers =>
  MANY > 0 ? { inARow: MANY, atOnce: Math.ceil(MANY / 4), rounds: Math.ceil(MANY / 2) } : few;
const LIMIT = 60_000 + MANY * 30_000;

// In what a heap is still warming up, and what a garbage collection may leave.
const WARMING_UP = MANY > 0 ? 4 : 1;
const GROWTH_KIB = 48 * 1024;

const IDLE = ['sh', '-c', 'trap "exit 3" TERM; sleep 1000 & wait'];
const OWN_NETWORK = missingNetworks() === undefined ? { LAMINA_NETWORK: '' } : {};

describe.each([
  ['root', missing, numbersOr({ inARow: 4, atOnce: 4, rounds: 2 })],
  ['an ordinary user', withUsers, numbersOr({ inARow: 1, atOnce: 2, rounds: 1 })],
])('Containers of %s', (kind, lacking, { inARow, atOnce, rounds }) => {
  describe.skipIf(lacking)(titled('many', lacking), () => {
    let machine: Machine;
    let lamina: Lamina;
    let user: ReturnType<typeof makeUser> | undefined;
    let before: Inventory;
    /** First digits of the ids of all that were started. */
    const ids: string[] = [];

    beforeAll(async () => {
      machine = await Machine.start();
      if (kind !== 'root') user = makeUser('lamina-many', { start: 720_000_000, count: 65_536 });
      lamina = new Lamina(user, '/var/tmp', machine.within);
      await lamina.load(recipe('tiny'));
      // The first one makes what the others share.
      await call('run', '--rm', 'tiny', 'true');
      await call('run', '-d', '--name', 'first', 'tiny', 'true');
      await call('wait', 'first');
      await call('rm', 'first');
      before = machine.inventory(lamina.root);
    });

    afterAll(async () => {
      await lamina.close();
      machine.close();
      if (user !== undefined) removeUser(user.name);
    });

    const start = (args: readonly string[], env = {}) =>
      ended(lamina.start(args, { env: { ...env, ...machine.client().env, TMPDIR: machine.temporary } }));

    /** What a command prints that is to succeed. */
    async function call(...args: readonly string[]): Promise<string> {
      const { code, stdout, stderr } = await start(args);
      expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: '' });
      return stdout;
    }

    const foreground = async (name: string, ...flags: readonly string[]): Promise<void> => {
      const { code, stdout, stderr } = await start(
        ['run', '--name', name, ...flags, 'tiny', 'sh', '-c', 'echo $HOSTNAME > /f; cat /etc/hostname; exit 5'],
        name.endsWith('0') ? OWN_NETWORK : {},
      );
      expect({ name, code, stderr }).toEqual({ name, code: 5, stderr: '' });
      ids.push(stdout.trim());
    };

    const detached = async (name: string, ...flags: readonly string[]): Promise<void> => {
      const { code, stdout, stderr } = await start(
        ['run', '-d', '--name', name, ...flags, 'tiny', ...IDLE],
        OWN_NETWORK,
      );
      expect({ name, code, stderr }).toEqual({ name, code: 0, stderr: '' });
      ids.push(stdout.trim());
    };

    /** A container from its start to its removal, in one way after another. */
    const LIVES: readonly ((name: string) => Promise<void>)[] = [
      (name) => foreground(name, '--rm'),
      async (name) => {
        await detached(name);
        expect(await call('exec', name, 'sh', '-c', 'echo in > /e; cat /e')).toBe('in\n');
        await call('stop', name);
        await call('rm', name);
      },
      async (name) => {
        await detached(name, '--rm');
        await call('exec', '-d', name, 'sleep', '1000');
        await call('kill', name);
        await start(['wait', name]);
      },
      async (name) => {
        await foreground(name);
        await call('start', name);
        await call('wait', name);
        await call('rm', name);
      },
    ];

    test('leave nothing, one after another', { timeout: LIMIT }, async () => {
      for (let at = 0; at < inARow; at += 1) {
        await LIVES[at % LIVES.length]?.(`row-${at}`);
        await machine.expectNothingLeft(before, lamina.root, ids, `after ${at}`);
      }
    });

    test('leave nothing, all at once', { timeout: LIMIT }, async () => {
      const names = Array.from({ length: atOnce }, (_, at) => `once-${at}`);
      await Promise.all(names.map((name) => detached(name)));
      const listed = await call('ps', '--format', '{{.Names}} {{.State}}');
      expect(listed.trim().split('\n').sort()).toEqual(names.map((name) => `${name} running`).sort());
      const told = await Promise.all(names.map((name) => call('exec', name, 'cat', '/etc/hostname')));
      expect(new Set(told).size).toBe(names.length);
      const removed = await Promise.all(names.map((name) => call('rm', '-f', name)));
      expect(removed).toEqual(names.map((name) => `${name}\n`));
      await machine.expectNothingLeft(before, lamina.root, ids, 'removed');
      await Promise.all(names.map((name) => foreground(name, '--rm')));
      await machine.expectNothingLeft(before, lamina.root, ids, 'removed by themselves');
    });

    test('have a supervisor that keeps nothing of what was done by it', { timeout: LIMIT }, async () => {
      await detached('used', '-i');
      const pid = supervisorOf(lamina.root, ids.at(-1) ?? '');
      const round = async (): Promise<readonly Outcome[]> =>
        Promise.all([
          start(['exec', 'used', 'sh', '-c', 'echo out; echo err >&2']),
          start(['exec', 'used', 'missing']),
          start(['stats', '--no-stream', 'used']),
          start(['top', 'used']),
          start(['logs', 'used']),
        ]);
      const held = (): number => machine.count(pid, 'fd') + machine.count(pid, 'task');
      for (let at = 0; at < WARMING_UP; at += 1) await round();
      const [first, resident] = [held(), machine.residentOf(pid)];
      for (let at = 0; at < rounds; at += 1) {
        const codes = (await round()).map(({ code }) => code);
        expect(codes).toEqual([0, 127, 0, 0, 0]);
      }
      await expect.poll(held).toBeLessThanOrEqual(first);
      expect(machine.residentOf(pid) - resident).toBeLessThan(GROWTH_KIB);
      await call('rm', '-f', 'used');
      await machine.expectNothingLeft(before, lamina.root, ids, 'removed');
    });
  });
});

function supervisorOf(root: string, id: string): number {
  const state = JSON.parse(readFileSync(join(root, 'containers', id, 'state.json'), 'utf8')) as ContainerState;
  return state.supervisor?.pid ?? 0;
}
