import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { type GroupRecord, cgroupMounts, setLimits, settingsFor } from '../../runner/container/cgroup/group.ts';
import { findHierarchies } from '../../runner/container/cgroup/hierarchies.ts';
import { settingsV1, settingsV2, weightOfShares } from '../../runner/container/cgroup/settings.ts';
import { pathFrom, sitesOf } from '../../runner/container/cgroup/sites.ts';
import { hasRunOutOfMemory, usageOf } from '../../runner/container/cgroup/usage.ts';
import { type LimitFlags, parseLimits } from '../../runner/container/options/limits.ts';
import { isLimited } from '../../runner/container/options/resources.ts';

const roots: string[] = [];

/** Files as a machine has them, in a directory of ours. */
function tree(files: Readonly<Record<string, string>>): string {
  const root = mkdtempSync(join(tmpdir(), 'lamina-cgroup-'));
  roots.push(root);
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  return root;
}

afterAll(() => {
  for (const root of roots) rmSync(root, { recursive: true });
});

const V1 = (id: number, root: string, point: string, options: string): string =>
  `${id} 31 0:${id} ${root} /sys/fs/cgroup/${point} rw,nosuid,nodev,noexec,relatime shared:9 - cgroup cgroup rw,${options}`;
const V2 = (root: string, point: string, options = 'rw,nsdelegate,memory_recursiveprot'): string =>
  `29 23 0:26 ${root} ${point} rw,nosuid,nodev,noexec,relatime shared:4 - cgroup2 cgroup2 ${options}`;
const TMPFS = '31 23 0:28 / /sys/fs/cgroup ro,nosuid,nodev,noexec shared:8 - tmpfs tmpfs ro,mode=755';
const FEDORA = 'cpuset cpu io memory hugetlb pids rdma misc dmem\n';

/** What is found on a machine: version, controllers, and where a container's group would go. */
function placesOn(
  mountinfo: readonly string[],
  cgroup: string,
  files: Readonly<Record<string, string>> = {},
  parent?: string,
): string[] {
  const prefix = tree(files);
  const hierarchies = findHierarchies({ mountinfo: mountinfo.join('\n'), cgroup, prefix });
  return sitesOf(hierarchies, parent).map(({ hierarchy, parents }) => {
    const shown = parents.map((path) => path.slice(prefix.length)).join(' ');
    return `${hierarchy.version} ${hierarchy.controllers.join(',')}: ${shown}`;
  });
}

describe('findHierarchies finds what a machine has', () => {
  test('Fedora, Ubuntu and Debian of today: one unified hierarchy, and a user in a scope of a session', () => {
    const cgroup = '0::/user.slice/user-1000.slice/session-2.scope\n';
    const files = { 'sys/fs/cgroup/cgroup.controllers': FEDORA };
    expect(placesOn([V2('/', '/sys/fs/cgroup')], cgroup, files)).toEqual([
      '2 cpuset,cpu,io,memory,hugetlb,pids,rdma,misc,dmem: /sys/fs/cgroup/lamina ' +
        '/sys/fs/cgroup/user.slice/user-1000.slice/session-2.scope/lamina',
    ]);
  });

  test('Debian 10: version 1 with pairs of controllers, and a unified hierarchy without any', () => {
    const mountinfo = [
      TMPFS,
      V2('/', '/sys/fs/cgroup/unified', 'rw'),
      V1(32, '/', 'systemd', 'xattr,name=systemd'),
      V1(33, '/', 'net_cls,net_prio', 'net_cls,net_prio'),
      V1(34, '/', 'cpu,cpuacct', 'cpu,cpuacct'),
      V1(35, '/', 'memory', 'memory,release_agent=/x'),
    ];
    const cgroup = '5:memory:/user.slice\n4:cpu,cpuacct:/\n1:name=systemd:/user.slice/s\n0::/user.slice/s\n';
    expect(placesOn(mountinfo, cgroup, { 'sys/fs/cgroup/unified/cgroup.controllers': '\n' })).toEqual([
      '2 : /sys/fs/cgroup/unified/lamina /sys/fs/cgroup/unified/user.slice/s/lamina',
      '1 cpu,cpuacct: /sys/fs/cgroup/cpu,cpuacct/lamina',
      '1 memory: /sys/fs/cgroup/memory/lamina /sys/fs/cgroup/memory/user.slice/lamina',
    ]);
  });

  test('Alpine without a service for it: nothing at all', () => {
    expect(placesOn(['23 1 0:21 / /sys rw - sysfs sysfs rw'], '')).toEqual([]);
  });

  test('a container with a cgroup namespace: its root is our own', () => {
    const files = { 'sys/fs/cgroup/cgroup.controllers': FEDORA };
    expect(placesOn([V2('/', '/sys/fs/cgroup')], '0::/\n', files)[0]).toMatch(/: \/sys\/fs\/cgroup\/lamina$/);
  });

  test('a container of docker without a cgroup namespace: the mount shows a part of the tree', () => {
    const own = '/docker/0123';
    const mountinfo = [TMPFS, V1(40, own, 'memory', 'memory'), V1(41, own, 'cpu,cpuacct', 'cpu,cpuacct')];
    const cgroup = `3:cpu,cpuacct:${own}/below\n2:memory:${own}\n`;
    expect(placesOn(mountinfo, cgroup)).toEqual([
      '1 memory: /sys/fs/cgroup/memory/lamina',
      '1 cpu,cpuacct: /sys/fs/cgroup/cpu,cpuacct/lamina /sys/fs/cgroup/cpu,cpuacct/below/lamina',
    ]);
  });

  test('a container that sees the groups of the host above its own', () => {
    const mountinfo = [TMPFS, V1(40, '/../..', 'memory', 'memory')];
    expect(placesOn(mountinfo, '2:memory:/\n')).toEqual(['1 memory: /sys/fs/cgroup/memory/lamina']);
  });

  test('of a process outside of its cgroup namespace, no path leads out of the mount', () => {
    const mountinfo = [TMPFS, V1(40, '/', 'memory', 'memory'), V1(41, '/', 'pids', 'pids')];
    expect(placesOn(mountinfo, '2:memory:/../other\n3:pids:/..hidden\n')).toEqual([
      '1 memory: /sys/fs/cgroup/memory/lamina',
      '1 pids: /sys/fs/cgroup/pids/lamina /sys/fs/cgroup/pids/..hidden/lamina',
    ]);
  });

  test('what lies under a later mount is not there', () => {
    const mountinfo = [TMPFS, V1(40, '/', 'memory', 'memory'), V2('/', '/sys/fs/cgroup')];
    const places = placesOn(mountinfo, '2:memory:/\n0::/\n', { 'sys/fs/cgroup/cgroup.controllers': 'pids\n' });
    expect(places).toEqual(['2 pids: /sys/fs/cgroup/lamina']);
  });

  test('the group that processes were moved to is not taken for the one that they came from', () => {
    const places = placesOn([V2('/', '/sys/fs/cgroup')], '0::/a.scope/lamina-init\n');
    expect(places).toEqual(['2 : /sys/fs/cgroup/lamina /sys/fs/cgroup/a.scope/lamina']);
  });

  test('--cgroup-parent is from the root of each hierarchy, and leads nowhere above it', () => {
    const mountinfo = [TMPFS, V1(40, '/', 'memory', 'memory'), V1(41, '/', 'pids', 'pids')];
    expect(placesOn(mountinfo, '', {}, '../../jobs/a/')).toEqual([
      '1 memory: /sys/fs/cgroup/memory/jobs/a',
      '1 pids: /sys/fs/cgroup/pids/jobs/a',
    ]);
    expect(pathFrom('/a', '/a/b/c')).toEqual(['/a', '/a/b', '/a/b/c']);
    expect(pathFrom('/', '/a')).toEqual(['/', '/a']);
  });
});

/** What is written where, for the flags of a command line. */
function written(flags: LimitFlags, settings: typeof settingsV1): string[] {
  return settings(parseLimits(flags)).map(({ choices }) =>
    choices.map(({ file, value }) => `${file}=${value}`).join(' or '),
  );
}

describe('limits are converted as docker converts them', () => {
  const rows: readonly (readonly [flags: LimitFlags, v1: readonly string[], v2: readonly string[]])[] = [
    [
      { memory: '64m' },
      ['memory.limit_in_bytes=67108864', 'memory.memsw.limit_in_bytes=134217728'],
      ['memory.max=67108864', 'memory.swap.max=67108864'],
    ],
    [
      { memory: '1.5g', memorySwap: '-1' },
      ['memory.limit_in_bytes=1610612736', 'memory.memsw.limit_in_bytes=-1'],
      ['memory.max=1610612736', 'memory.swap.max=max'],
    ],
    [
      { memory: '10MB', memorySwap: '10MiB' },
      ['memory.limit_in_bytes=10485760', 'memory.memsw.limit_in_bytes=10485760'],
      ['memory.max=10485760', 'memory.swap.max=0'],
    ],
    [{ memory: '0' }, [], []],
    [{ memoryReservation: '8m' }, ['memory.soft_limit_in_bytes=8388608'], ['memory.low=8388608']],
    [{ cpus: '1.5' }, ['cpu.cfs_period_us=100000', 'cpu.cfs_quota_us=150000'], ['cpu.max=150000 100000']],
    [{ cpus: '.25' }, ['cpu.cfs_period_us=100000', 'cpu.cfs_quota_us=25000'], ['cpu.max=25000 100000']],
    [{ cpus: '0' }, [], []],
    [{ cpuQuota: '-1' }, ['cpu.cfs_quota_us=-1'], ['cpu.max=max 100000']],
    [{ cpuPeriod: '50000' }, ['cpu.cfs_period_us=50000'], ['cpu.max=max 50000']],
    [{ cpuShares: '1024' }, ['cpu.shares=1024'], ['cpu.weight=100']],
    [
      { cpusetCpus: '0-1,3', cpusetMems: '0' },
      ['cpuset.cpus=0-1,3', 'cpuset.mems=0'],
      ['cpuset.cpus=0-1,3', 'cpuset.mems=0'],
    ],
    [{ pidsLimit: '5' }, ['pids.max=5'], ['pids.max=5']],
    [{ pidsLimit: '0' }, ['pids.max=max'], ['pids.max=max']],
    [{ blkioWeight: '10' }, ['blkio.bfq.weight=10 or blkio.weight=10'], ['io.bfq.weight=10 or io.weight=default 1']],
    [
      { blkioWeight: '1000' },
      ['blkio.bfq.weight=1000 or blkio.weight=1000'],
      ['io.bfq.weight=1000 or io.weight=default 10000'],
    ],
  ];

  test.each(rows)('%j', (flags, v1, v2) => {
    expect(written(flags, settingsV1)).toEqual(v1);
    expect(written(flags, settingsV2)).toEqual(v2);
  });

  test('shares meet weights at both ends and at the defaults, and never fall', () => {
    expect([2, 1024, 262_144].map(weightOfShares)).toEqual([1, 100, 10_000]);
    const weights = [2, 10, 100, 512, 1024, 2048, 100_000].map(weightOfShares);
    expect(weights).toEqual([...weights].sort((one, other) => Number(one) - Number(other)));
  });

  test('what only version 1 has is an error of version 2', () => {
    expect(() => settingsV2(parseLimits({ memorySwappiness: '10' }))).toThrow(
      '--memory-swappiness is of cgroup version 1',
    );
    expect(() => settingsV2(parseLimits({ oomKillDisable: true }))).toThrow('--oom-kill-disable');
    expect(written({ memorySwappiness: '10', oomKillDisable: true }, settingsV1)).toEqual([
      'memory.swappiness=10',
      'memory.oom_control=1',
    ]);
  });

  test('--cgroup-conf writes files of version 2, on a hybrid machine as well', () => {
    const limits = parseLimits({ memory: '64m', cgroupConf: ['hugetlb.2MB.max=0', 'memory.high=max 1'] });
    const directories = [
      { version: 2, controllers: ['hugetlb'], path: '/u', hierarchy: 'unified' },
      { version: 1, controllers: ['memory'], path: '/m', hierarchy: 'memory' },
    ] as const;
    const hybrid = settingsFor({ directories }, limits).map(
      ({ choices }) => `${choices[0]?.file}=${choices[0]?.value}`,
    );
    expect(hybrid).toEqual([
      'memory.limit_in_bytes=67108864',
      'memory.memsw.limit_in_bytes=134217728',
      'hugetlb.2MB.max=0',
      'memory.high=max 1',
    ]);
    expect(cgroupMounts({ directories })).toEqual([
      { name: 'unified', type: 'cgroup2', controllers: [] },
      { name: 'memory', type: 'cgroup', controllers: ['memory'] },
    ]);
  });

  const wrong: readonly (readonly [flags: LimitFlags, message: string])[] = [
    [{ memory: '5m' }, '--memory 5m is too little'],
    [{ memory: '-5' }, 'is not a number of bytes'],
    [{ memory: '10x' }, 'is not a number of bytes'],
    [{ memorySwap: '1g' }, 'give --memory with it'],
    [{ memory: '10m', memorySwap: '9m' }, 'must not be less than --memory'],
    [{ memory: '10m', memoryReservation: '11m' }, '--memory-reservation'],
    [{ memorySwappiness: '101' }, 'from 0 to 100'],
    [{ cpus: '0.001' }, 'at least 0.01'],
    [{ cpus: 'two' }, 'at least 0.01'],
    [{ cpus: '1', cpuQuota: '5000' }, '--cpus sets what'],
    [{ cpuQuota: '999' }, 'at least 1000 microseconds'],
    [{ cpuPeriod: '999' }, 'from 1000 to 1000000'],
    [{ cpusetCpus: '1-' }, 'is not a list of numbers'],
    [{ cpusetCpus: '3-1' }, 'is not a list of numbers'],
    [{ pidsLimit: '-2' }, 'of at least -1'],
    [{ blkioWeight: '9' }, '10 to 1000'],
    [{ deviceReadBps: ['sda:1'] }, 'is not /dev/NAME:VALUE'],
    [{ deviceReadIops: ['/dev/sda:1m'] }, 'is not /dev/NAME:VALUE'],
    [{ cgroupConf: ['../x=1'] }, 'is not FILE=VALUE'],
  ];

  test.each(wrong)('%j is refused', (flags, message) => {
    expect(() => parseLimits(flags)).toThrow(message);
  });

  test('a limit of nobody is none', () => {
    expect(isLimited(parseLimits({}))).toBe(false);
    expect(isLimited({ pidsLimit: { value: 2048, isDefault: true } })).toBe(false);
    expect(isLimited(parseLimits({ pidsLimit: '-1' }))).toBe(true);
  });

  test('a disk that is none is refused, with its name', () => {
    expect(() => settingsV1(parseLimits({ deviceReadBps: ['/dev/null:1m'] }))).toThrow(
      '/dev/null: it is no block device',
    );
    expect(() => settingsV2(parseLimits({ deviceReadBps: ['/nowhere:1m'] }))).toThrow('cannot limit /nowhere: ENOENT');
  });
});

describe('setLimits writes', () => {
  const record = (path: string): GroupRecord => ({
    directories: [{ version: 1, controllers: ['memory'], path, hierarchy: 'memory' }],
  });

  test('one that the kernel has no file for is an error that names the flag and the file', () => {
    const path = tree({});
    expect(() => setLimits(record(path), parseLimits({ memory: '64m' }))).toThrow(
      `--memory cannot be set: this kernel has no ${path}/memory.limit_in_bytes`,
    );
    expect(() => setLimits(record(path), parseLimits({ cpus: '1' }))).toThrow(
      '--cpus cannot be set: there is no control group with the cpu controller',
    );
  });

  test('a default that cannot be set is none', () => {
    const limits = { pidsLimit: { value: 2048, isDefault: true } };
    expect(() => setLimits(record(tree({})), limits)).not.toThrow();
  });
});

describe('usageOf and hasRunOutOfMemory read', () => {
  test('version 1, pairs of controllers', () => {
    const root = tree({
      'cpu/cpuacct.usage': '123456789\n',
      'memory/memory.usage_in_bytes': '3000000\n',
      'memory/memory.limit_in_bytes': '67108864\n',
      'memory/memory.stat': 'cache 5\ninactive_file 1\ntotal_inactive_file 1000000\n',
      'memory/memory.oom_control': 'oom_kill_disable 0\nunder_oom 0\noom_kill 1\n',
      'pids/pids.current': '7\n',
      'blkio/blkio.throttle.io_service_bytes_recursive':
        '8:0 Read 100\n8:0 Write 20\n8:0 Sync 120\n254:0 Read 11\n254:0 Total 11\nTotal 131\n',
    });
    const directory = (name: string, controllers: readonly string[]) =>
      ({ version: 1, controllers, path: join(root, name), hierarchy: name }) as const;
    const record: GroupRecord = {
      directories: [
        directory('cpu', ['cpu', 'cpuacct']),
        directory('memory', ['memory']),
        directory('pids', ['pids']),
        directory('blkio', ['blkio']),
      ],
    };
    expect(usageOf(record)).toEqual({
      cpu: 123_456_789,
      memory: 2_000_000,
      memoryLimit: 67_108_864,
      processes: 7,
      blockRead: 111,
      blockWritten: 20,
    });
    expect(hasRunOutOfMemory(record)).toBe(true);
  });

  test('version 2', () => {
    const path = tree({
      'cpu.stat': 'usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n',
      'memory.current': '3000000\n',
      'memory.max': '33554432\n',
      'memory.stat': 'anon 1\ninactive_file 500000\n',
      'memory.events': 'low 0\nhigh 0\nmax 3\noom 1\noom_kill 0\n',
      'pids.current': '2\n',
      'io.stat': '254:0 rbytes=4096 wbytes=8192 rios=1 wios=2 dbytes=0 dios=0\n8:16 rbytes=1 wbytes=2 rios=1\n',
    });
    const controllers = ['cpu', 'io', 'memory', 'pids'];
    const record: GroupRecord = { directories: [{ version: 2, controllers, path, hierarchy: 'cgroup' }] };
    expect(usageOf(record)).toEqual({
      cpu: 1_500_000,
      memory: 2_500_000,
      memoryLimit: 33_554_432,
      processes: 2,
      blockRead: 4097,
      blockWritten: 8194,
    });
    expect(hasRunOutOfMemory(record)).toBe(false);
  });
});
