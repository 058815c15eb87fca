import { existsSync, readFileSync, readdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findHierarchies, ownView } from '../../runner/container/cgroup/hierarchies.ts';
import { sitesOf } from '../../runner/container/cgroup/sites.ts';
import { firstMissing, hasCgroups, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';
import { Lamina, ended, recipe, wrote } from './lamina.ts';

const missing = firstMissing(isRoot(), hasFuseDevice(), hasCgroups('memory'));

const LONG = { timeout: 20_000 };

/** Where groups of containers are made on this machine. */
const parents = sitesOf(findHierarchies(ownView()), undefined).flatMap((site) => site.parents.slice(0, 1));

/** Groups of a container that are there. */
function groupsOf(id: string): string[] {
  return parents.map((parent) => join(parent, id)).filter((path) => exists(path));
}

function exists(path: string): boolean {
  try {
    readdirSync(path);
    return true;
  } catch {
    return false;
  }
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}

function processIds(path: string): number[] {
  return readIfThere(join(path, 'cgroup.procs')).trim().split('\n').map(Number);
}

function usageUsec(id: string): string {
  const tables = groupsOf(id).map((path) => readIfThere(join(path, 'cpu.stat')));
  return tables.map((table) => /^usage_usec .*/m.exec(table)?.[0] ?? '').join('');
}

function cpuacct(id: string): string {
  return groupsOf(id)
    .map((path) => readIfThere(join(path, 'cpuacct.usage')))
    .join('');
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await sleep(20);
}

const EAT = 's=xxxxxxxx; while :; do s=$s$s; done';

describe.skipIf(missing)(titled('control groups of containers of root', missing), () => {
  let lamina: Lamina;

  beforeAll(async () => {
    lamina = new Lamina();
    await lamina.load(recipe('tiny'));
  });

  afterAll(() => lamina.close());

  const ids = (): string[] => readdirSync(join(lamina.root, 'containers')).filter((name) => !name.startsWith('.'));
  const stateOf = (id: string): Record<string, unknown> =>
    JSON.parse(readFileSync(join(lamina.root, 'containers', id, 'state.json'), 'utf8')) as Record<string, unknown>;

  test('limits can be read back inside, where the group is the root, and nothing can be written', LONG, async () => {
    const script = [
      'cd /sys/fs/cgroup',
      'cat memory/memory.limit_in_bytes memory/memory.memsw.limit_in_bytes memory.max 2>/dev/null',
      'cat cpu/cpu.cfs_quota_us cpu.max 2>/dev/null',
      'cat cpuset/cpuset.cpus cpuset.cpus 2>/dev/null',
      'cat pids/pids.max pids.max 2>/dev/null',
      'cat /proc/self/cgroup >&2',
      'cat /proc/self/oom_score_adj',
      'for d in . */; do mkdir $d/below 2>/dev/null && echo writable; done; true',
    ].join('; ');
    const flags = ['-m', '64m', '--cpus', '0.5', '--cpuset-cpus', '0', '--pids-limit', '50', '--oom-score-adj', '7'];
    const { code, stdout, stderr } = await lamina.call(['run', ...flags, '--rm', 'tiny', 'sh', '-c', script]);
    const numbers = stdout.split('\n').filter((line) => line !== '134217728' && line !== '');
    expect(numbers.map((line) => line.replace(' 100000', ''))).toEqual(['67108864', '50000', '0', '50', '7']);
    // Groups that were made for it are roots; it has stayed in others.
    for (const line of stderr.split('\n').filter((line) => /memory|pids/.test(line))) expect(line).toMatch(/:\/$/);
    expect(code).toBe(0);
  });

  test('what is killed for want of memory is told: 137 and oomKilled; what is not, is not', LONG, async () => {
    expect((await lamina.call(['run', '-m', '16m', '--name', 'eater', 'tiny', 'sh', '-c', EAT])).code).toBe(137);
    const [eater = ''] = ids();
    expect(stateOf(eater)).toMatchObject({ status: 'exited', exitCode: 137, oomKilled: true });
    expect(groupsOf(eater)).toEqual([]);
    await lamina.call(['rm', 'eater']);
    await lamina.call(['run', '-m', '16m', '--name', 'modest', 'tiny', 'sh', '-c', 'kill -9 $$; exit 3']);
    const [modest = ''] = ids();
    expect(stateOf(modest)['oomKilled']).toBeUndefined();
    await lamina.call(['rm', 'modest']);
  });

  test('--pids-limit stops a program that forks without end, in its container alone', LONG, async () => {
    // Each line of it is a process more.
    const bomb = 'i=0; while [ $i -lt 100 ]; do sleep 60 & i=$((i+1)); done; echo all';
    const { stdout, stderr } = await lamina.call(['run', '--rm', '--pids-limit', '20', 'tiny', 'sh', '-c', bomb]);
    expect(stdout).toBe('');
    expect(stderr).toContain('fork');
  });

  test('of a client that was killed, rm or the next container removes the group', LONG, async () => {
    // Of its own, since the next container of another test removes it as well.
    const parent = `lamina-left-${process.pid}`;
    const own = parents.map((path) => join(path, '..', parent));
    const groups = (id: string): string[] => own.map((path) => join(path, id)).filter(exists);
    const under = ['--cgroup-parent', `/${parent}`];
    const before = ids();
    for (const tidy of [
      ['rm', 'left'],
      ['run', '--rm', ...under, 'tiny', 'true'],
    ]) {
      const script = 'echo ready; while :; do sleep 1; done';
      const child = lamina.start(['run', ...under, '--name', 'left', 'tiny', 'sh', '-c', script]);
      await wrote(child, 'ready');
      const id = ids().find((one) => !before.includes(one)) ?? '';
      const left = groups(id);
      expect(left).toHaveLength(parents.length);
      child.kill('SIGKILL');
      await ended(child);
      // The kernel kills the container with its client.
      await until(() => left.every((path) => readFileSync(join(path, 'cgroup.procs'), 'latin1') === ''));
      expect((await lamina.call(tidy)).code).toBe(0);
      expect(groups(id)).toEqual([]);
      await lamina.call(['rm', 'left']);
    }
    for (const path of own.filter(exists)) rmdirSync(path);
  });

  test('of a container that cannot be made there is no group', LONG, async () => {
    // Of its own, since other containers come and go.
    const parent = `lamina-none-${process.pid}`;
    const own = parents.map((path) => join(path, '..', parent)).filter((path) => !exists(path));
    expect((await lamina.call(['create', '--name', 'taken', 'tiny', 'true'])).code).toBe(0);
    const run = ['run', '--rm', '--cgroup-parent', `/${parent}`];
    expect((await lamina.call([...run, '--name', 'taken', 'tiny', 'true'])).code).toBe(125);
    expect((await lamina.call(['rm', 'taken'])).code).toBe(0);
    const made = own.filter(exists);
    expect(made).not.toEqual([]);
    // Which has nothing in it.
    for (const path of made) rmdirSync(path);
  });

  test('pause holds all still until unpause, through a commit; stats tells what the files say', LONG, async () => {
    const script = 'trap "exit 0" TERM; (while :; do :; done) & echo ready; while :; do sleep 0.05; done';
    const child = lamina.start(['run', '--rm', '--name', 'busy', '-m', '100m', 'tiny', 'sh', '-c', script]);
    const end = ended(child);
    await wrote(child, 'ready');
    const [id = ''] = ids();
    const memory =
      groupsOf(id).find((path) => existsSync(join(path, 'memory.limit_in_bytes'))) ?? groupsOf(id)[0] ?? '';
    const cpu = (): string => `${usageUsec(id)} ${cpuacct(id)}`;

    expect(await lamina.call(['pause', 'busy'])).toEqual({ code: 0, stdout: 'busy\n', stderr: '' });
    const frozen = cpu();
    const again = await lamina.call(['pause', 'busy']);
    expect(again).toMatchObject({ code: 1, stderr: 'lamina: container busy is paused already\n' });
    const format = '{{.Name}} {{.CPUPerc}} {{.MemUsage}} {{.PIDs}} {{.NetIO}}';
    const { stdout } = await lamina.call(['stats', '--no-stream', '--format', format]);
    const [, used, unit, processes] = /^busy 0\.00% ([\d.]+)([KM])iB \/ 100MiB (\d+) 0B \/ 0B\n$/.exec(stdout) ?? [];
    const bytes = Number(used) * (unit === 'K' ? 2 ** 10 : 2 ** 20);
    expect(bytes).toBeLessThanOrEqual(Number(readIfThere(join(memory, 'memory.usage_in_bytes')) || Infinity) * 1.001);
    expect(bytes).toBeGreaterThan(0);
    expect(Number(processes)).toBeGreaterThanOrEqual(2);
    expect((await lamina.call(['commit', '-q', 'busy', 'made-of-busy'])).code).toBe(0);
    // None of its processes has used a CPU all the while, nor does now.
    expect(cpu()).toBe(frozen);

    expect(await lamina.call(['unpause', '--all'])).toEqual({ code: 0, stdout: `${id}\n`, stderr: '' });
    await until(() => cpu() !== frozen);
    // Held still while it is read, and no longer.
    expect((await lamina.call(['commit', '-q', 'busy', 'made-of-busy'])).code).toBe(0);
    const after = cpu();
    await until(() => cpu() !== after);
    expect((await lamina.call(['unpause', 'busy'])).stderr).toBe('lamina: container busy is not paused\n');
    child.kill('SIGTERM');
    expect((await end).code).toBe(0);
    expect((await lamina.call(['pause', 'nobody'])).stderr).toContain('no container "nobody"');
    await lamina.call(['rmi', 'made-of-busy']);
  });

  test(
    'update changes limits at once; stop lets go on what is paused; --privileged may use all devices',
    LONG,
    async () => {
      const script = 'trap "exit 4" TERM; while :; do sleep 0.05; done';
      const flags = ['--privileged', '--shm-size', '1m', '-m', '64m', '--cpu-shares', '512'];
      const begun = await lamina.call(['run', '-d', '--name', 'changed', ...flags, 'tiny', 'sh', '-c', script]);
      expect(begun).toMatchObject({ code: 0, stderr: '' });
      const id = begun.stdout.trim();
      const read = (file: string): string =>
        groupsOf(id)
          .map((path) => readIfThere(join(path, file)).trim())
          .filter((text) => text !== '')
          .join();
      const limits = (): string[] =>
        ['memory.limit_in_bytes', 'memory.memsw.limit_in_bytes', 'cpu.shares', 'cpu.cfs_quota_us', 'pids.max'].map(
          read,
        );
      const isV1 = read('memory.limit_in_bytes') !== '';
      if (isV1) expect(limits()).toEqual(['67108864', '134217728', '512', '-1', '2048']);
      const update = ['update', '--memory', '256m', '--cpus', '0.3', '--pids-limit', '30', 'changed'];
      expect(await lamina.call(update)).toEqual({ code: 0, stdout: 'changed\n', stderr: '' });
      if (isV1) expect(limits()).toEqual(['268435456', '536870912', '512', '30000', '30']);
      expect((await lamina.call(['update', '--memory', '32m', 'changed'])).code).toBe(0);
      if (isV1) expect(limits()).toEqual(['33554432', '67108864', '512', '30000', '30']);
      const wrong = await lamina.call(['update', '--memory-swap', '16m', 'changed']);
      expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining('must not be less than') as string });
      if (isV1 && read('devices.list') !== '') expect(read('devices.list')).toBe('a *:* rwm');
      const [init = 0] = processIds(groupsOf(id)[0] ?? '');
      expect(readIfThere(`/proc/${init}/mountinfo`)).toMatch(/ \/dev\/shm .* rw,size=1024k/);

      expect((await lamina.call(['pause', 'changed'])).code).toBe(0);
      expect((await lamina.call(['ps'])).stdout).toMatch(/Up .* \(Paused\)/);
      expect((await lamina.call(['stop', 'changed'])).code).toBe(0);
      expect(stateOf(id)).toMatchObject({ status: 'exited', exitCode: 4 });
      expect(groupsOf(id)).toEqual([]);
      const stopped = ['update', '--memory', '48m', '--restart', 'on-failure:3', 'changed'];
      expect((await lamina.call(stopped)).code).toBe(0);
      const config = readIfThere(join(lamina.root, 'containers', id, 'config.json'));
      expect(config).toContain(`"memory":${48 * 2 ** 20}`);
      expect(config).toContain('"restart":{"name":"on-failure","maximumRetries":3}');
      await lamina.call(['rm', 'changed']);
    },
  );

  test(
    'update --restart holds for the end of the run that is under way, and start has the changed limits',
    LONG,
    async () => {
      const script =
        'trap "exit 4" TERM; cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; while :; do sleep 0.05; done';
      const begun = await lamina.call([
        'run',
        '-d',
        '--name',
        'again',
        '--restart',
        'always',
        'tiny',
        'sh',
        '-c',
        script,
      ]);
      const id = begun.stdout.trim();
      expect((await lamina.call(['update', '--restart', 'no', '--pids-limit', '77', 'again'])).code).toBe(0);
      await lamina.call(['exec', 'again', 'sh', '-c', 'kill -TERM 1']);
      expect((await lamina.call(['wait', 'again'])).stdout).toBe('4\n');
      expect(stateOf(id)).toMatchObject({ status: 'exited', exitCode: 4 });
      expect((await lamina.call(['start', 'again'])).code).toBe(0);
      const logged = async (): Promise<string> => (await lamina.call(['logs', 'again'])).stdout;
      await expect.poll(logged, LONG).toBe('2048\n77\n');
      await lamina.call(['rm', '-f', 'again']);
    },
  );

  test('--cgroup-parent, --cgroups=disabled, and limits that cannot be', LONG, async () => {
    const parent = `lamina-test-${process.pid}`;
    const child = lamina.start([
      'run',
      '--rm',
      '--cgroup-parent',
      `/${parent}/jobs`,
      'tiny',
      'sh',
      '-c',
      'echo ready; sleep 60',
    ]);
    const end = ended(child);
    await wrote(child, 'ready');
    const [id = ''] = ids();
    const cgroups = readFileSync(`/proc/${(stateOf(id)['init'] as { pid: number }).pid}/cgroup`, 'latin1');
    expect(cgroups).toContain(`memory:/${parent}/jobs/${id}\n`);
    await lamina.call(['rm', '-f', id]);
    await end;
    expect(parents.map((path) => join(path, '..', parent, 'jobs', id)).filter(exists)).toEqual([]);
    for (const path of parents) for (const part of [join(parent, 'jobs'), parent]) rmdirSync(join(path, '..', part));

    const refused = await lamina.call(['run', '--rm', '--cgroups=disabled', '-m', '10m', 'tiny', 'true']);
    expect(refused).toMatchObject({ code: 125, stderr: expect.stringContaining('--cgroups=disabled') as string });
    const impossible = await lamina.call(['run', '--rm', '--cpuset-cpus', '4000', 'tiny', 'true']);
    expect(impossible.code).toBe(125);
    expect(impossible.stderr).toMatch(/^lamina: --cpuset-cpus cannot be set: writing "4000" to [^\n]*\n$/);
    expect(ids()).toEqual([]);
  });
});
