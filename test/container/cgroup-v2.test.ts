import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { freeze, freezerOf, isFrozen, thawed } from '../../runner/container/cgroup/freezer.ts';
import { type GroupRecord } from '../../runner/container/cgroup/group.ts';
import { findHierarchies, ownView } from '../../runner/container/cgroup/hierarchies.ts';
import { removeGroups } from '../../runner/container/cgroup/teardown.ts';
import { DIST } from '../support/paths.ts';
import { firstMissing, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';
import { Lamina, ended, recipe } from './lamina.ts';

const LONG = { timeout: 20_000 };

const hierarchies = findHierarchies(ownView());
const unified = hierarchies.find(({ version }) => version === 2);

const missing = firstMissing(
  isRoot(),
  hasFuseDevice(),
  unified === undefined ? 'needs cgroup version 2' : undefined,
  unified?.controllers.includes('hugetlb') === true ? undefined : 'needs its hugetlb controller',
);

// An outer container: a cgroup namespace whose root is not that of the machine, with processes in it.
const OUTER = `
set -u
group=${unified?.own ?? ''}/lamina-outer-$1
shift
mkdir $group
echo $$ >$group/cgroup.procs
unshare --mount --cgroup sh -c 'mount -t cgroup2 none /sys/fs/cgroup; "$@"; echo code $?; cat /proc/self/cgroup' sh "$@"
echo $$ >$group/../cgroup.procs
find $group -mindepth 1 -type d -printf 'left %f\\n'
find $group -depth -type d -exec rmdir {} +
`;

describe.skipIf(missing)(titled('a machine with cgroup version 2 alone', missing), () => {
  let lamina: Lamina;

  beforeAll(async () => {
    lamina = new Lamina();
    await lamina.load(recipe('tiny'));
  });

  afterAll(() => lamina.close());

  const start = (script: string, parameters: readonly string[], args: readonly string[]): ChildProcess => {
    const command = [process.execPath, join(DIST, 'cli/lamina.js'), ...args];
    return spawn('unshare', ['--mount', 'sh', '-c', script, 'sh', ...parameters, ...command], {
      env: { ...process.env, LAMINA_ROOT: lamina.root },
    });
  };

  test('limits hold; one that cannot be set is a line that says why', LONG, async () => {
    const pure = 'mount -t cgroup2 none /sys/fs/cgroup; exec "$@"';
    const flags = ['--rm', '--cgroup-conf', 'hugetlb.2MB.max=4194304'];
    const inside = 'cat /sys/fs/cgroup/hugetlb.2MB.max /proc/self/cgroup; mkdir /sys/fs/cgroup/x || echo read-only';
    const { stdout } = await ended(start(pure, [], ['run', ...flags, 'tiny', 'sh', '-c', inside]));
    expect(stdout.split('\n')).toEqual(expect.arrayContaining(['4194304', '0::/', 'read-only']) as string[]);
    const refused = await ended(start(pure, [], ['run', '--rm', '-m', '64m', 'tiny', 'true']));
    expect(refused.code).toBe(125);
    expect(refused.stderr).toMatch(/^lamina: --memory cannot be set: there is no control group with the memory .*\n$/);
    const old = await ended(start(pure, [], ['run', '--rm', '--memory-swappiness', '9', 'tiny', 'true']));
    expect(old).toMatchObject({ code: 125, stderr: expect.stringContaining('is of cgroup version 1') as string });
  });

  test('without write access, a container runs without a group; a limit is a line with the remedy', LONG, async () => {
    const readOnly = 'mount -t cgroup2 -o ro none /sys/fs/cgroup; exec "$@"';
    const plain = await ended(start(readOnly, [], ['run', '--rm', '--network', 'host', 'tiny', 'echo', 'runs']));
    expect(plain).toEqual({ code: 0, stdout: 'runs\n', stderr: '' });
    const limited = ['run', '--rm', '--network', 'host', '--cgroup-conf', 'hugetlb.2MB.max=0', 'tiny', 'true'];
    const refused = await ended(start(readOnly, [], limited));
    expect(refused.code).toBe(125);
    expect(refused.stderr).toMatch(
      /^lamina: --cgroup-conf cannot be set: .*EROFS\); as root: mount -o remount,rw \/sys.*\n$/,
    );
    const none = 'umount -l /sys/fs/cgroup; exec "$@"';
    expect((await ended(start(none, [], ['run', '--rm', 'tiny', 'echo', 'runs']))).stdout).toBe('runs\n');
    const missing = await ended(start(none, [], ['run', '--rm', '-m', '64m', 'tiny', 'true']));
    expect(missing.stderr).toContain('no hierarchy that is mounted has it; as root: mount -t cgroup2');
  });

  test('in an outer container, its processes make room for the controllers', LONG, async () => {
    const args = [
      'run',
      '--rm',
      '--cgroup-conf',
      'hugetlb.2MB.max=2097152',
      'tiny',
      'cat',
      '/sys/fs/cgroup/hugetlb.2MB.max',
    ];
    const { stdout } = await ended(start(OUTER, [String(process.pid)], args));
    expect(stdout.split('\n').filter((line) => !/^\d+:/.test(line))).toEqual(
      expect.arrayContaining(['2097152', 'code 0', 'left lamina', 'left lamina-init']) as string[],
    );
    expect(stdout).toContain('0::/lamina-init\n');
    expect(stdout).not.toMatch(/left [0-9a-f]{64}/);
  });
});

const rooms = hierarchies.flatMap(({ version, controllers, own }) => {
  const serves = version === 2 || controllers.includes('freezer');
  return serves ? [[version, controllers, own] as const] : [];
});

describe.skipIf(isRoot())(titled('a group of processes', isRoot()), () => {
  test.each(rooms)(
    'of version %d (%j) is held still, let go on, and removed with all in it',
    async (version, controllers, own) => {
      const path = join(own, `lamina-group-${process.pid}`);
      const below = join(path, 'below');
      mkdirSync(path);
      mkdirSync(below);
      const record: GroupRecord = { directories: [{ version, controllers, path, hierarchy: '' }] };
      const script =
        'echo $$ >"$1/cgroup.procs"; sh -c \'echo $$ >"$1/cgroup.procs"; trap "" TERM; while :; do sleep 9; done\' sh "$2" & while :; do :; done';
      const child = spawn('sh', ['-c', script, 'sh', path, below], { stdio: 'ignore' });
      const processes = (): string[] => [path, below].map((one) => readFileSync(join(one, 'cgroup.procs'), 'latin1'));
      while (processes().includes('')) await sleep(10);
      expect(freezerOf(record)?.isFrozen()).toBe(false);
      await freeze(record);
      expect(isFrozen(record)).toBe(true);
      const ticks = (): string => readFileSync(`/proc/${child.pid}/stat`, 'latin1').split(' ').slice(13, 15).join();
      const before = ticks();
      spawnSync('sleep', ['0.05']);
      expect(ticks()).toBe(before);
      await thawed(record);
      while (ticks() === before) await sleep(10);
      // Held still again: what is frozen ends, too.
      await freeze(record);
      const closed = ended(child);
      await removeGroups(record);
      expect((await closed).code).toBe(137);
      expect(existsSync(path)).toBe(false);
      // A group that is gone is no error.
      await removeGroups(record);
    },
  );
});
