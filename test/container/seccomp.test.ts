import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { EPERM, ENOSYS } from '../../fs/sys/errno.ts';
import { COMPARE, syscallNumberOn } from '../../fs/sys/libseccomp.ts';
import { CAPABILITY_NAMES } from '../../runner/container/capabilities.ts';
import { thisMachine } from '../../runner/container/seccomp/architectures.ts';
import { compileFilter } from '../../runner/container/seccomp/compile.ts';
import { DEFAULT_PROFILE } from '../../runner/container/seccomp/default-profile.ts';
import { cachedFilter } from '../../runner/container/seccomp/filter-cache.ts';
import { seccompFilter } from '../../runner/container/seccomp/filter.ts';
import { parseSeccompProfile } from '../../runner/container/seccomp/parse-profile.ts';
import { ACTION, type SeccompPolicy, policyOf } from '../../runner/container/seccomp/policy.ts';
import { type SeccompProfile } from '../../runner/container/seccomp/profile.ts';
import { runFilter } from '../support/bpf.ts';
import { firstMissing, hasFile, titled } from '../support/requirements.ts';

const REFUSED = ACTION.errno | EPERM;
const UNKNOWN = ACTION.errno | ENOSYS;

/** What `AUDIT_ARCH_*` a filter sees, and which token libseccomp has for the names. */
const ARCHITECTURES =
  process.arch === 'x64'
    ? { x86_64: [0xc000003e, 0xc000003e], x86: [0x40000003, 0x40000003], x32: [0xc000003e, 0x4000003e] }
    : { aarch64: [0xc00000b7, 0xc00000b7], arm: [0x40000028, 0x40000028] };

// What docker gives a container.
const DOCKERS = new Set(
  'CHOWN DAC_OVERRIDE FOWNER FSETID KILL SETGID SETUID SETPCAP NET_BIND_SERVICE NET_RAW SYS_CHROOT MKNOD AUDIT_WRITE SETFCAP'
    .split(' ')
    .map((name) => `CAP_${name}`),
);
const ALL = new Set(CAPABILITY_NAMES);

function policy(profile: SeccompProfile, capabilities: ReadonlySet<string> = DOCKERS): SeccompPolicy {
  return policyOf(profile, { machine: thisMachine(), kernelRelease: '6.1.0-test', capabilities });
}

const WIDE = 0xffffffff_00000000n;
const SAMPLES: readonly bigint[] = [
  0n,
  1n,
  2n,
  8n,
  9n,
  16n,
  37n,
  38n,
  39n,
  40n,
  41n,
  0x11n,
  0x20000n,
  0x20008n,
  0x10000000n,
  0x02000000n,
  0x40000000n,
  0x7e020000n,
  0xffffffffn,
];

/** Arguments that tell the conditions of the profiles on a call apart. */
function samplesOf(name: string, isNative: boolean, ...profiles: readonly SeccompProfile[]): bigint[][] {
  const rules = profiles.flatMap((profile) => profile.rules.filter(({ names }) => names.includes(name)));
  if (rules.every(({ args = [] }) => args.length === 0)) return [[0n, 0n, 0n]];
  const values = isNative ? [...SAMPLES, WIDE, WIDE | 38n, WIDE | 0x20000n] : SAMPLES;
  return [...values.map((value) => [value, 0n, 0n]), [16n, 0n, 9n], [2n, 0n, 9n], [0n, 0x10000000n, 0n]];
}

/** What the rules say, read one by one. */
function decision(name: string, args: readonly bigint[], { rules, defaultAction }: SeccompPolicy): number {
  const holds = rules.filter(
    ({ names, conditions }) =>
      names.includes(name) &&
      conditions.every(({ index, compare, value, valueTwo }) => compares(args[index] ?? 0n, compare, value, valueTwo)),
  );
  return holds[0]?.action ?? defaultAction;
}

function compares(argument: bigint, compare: number, value: bigint, valueTwo: bigint): boolean {
  if (compare === COMPARE.ne) return argument !== value;
  if (compare === COMPARE.lt) return argument < value;
  if (compare === COMPARE.le) return argument <= value;
  if (compare === COMPARE.eq) return argument === value;
  if (compare === COMPARE.ge) return argument >= value;
  if (compare === COMPARE.gt) return argument > value;
  return (argument & value) === valueTwo;
}

function namesOf(...profiles: readonly SeccompProfile[]): string[] {
  return [...new Set(profiles.flatMap(({ rules }) => rules.flatMap(({ names }) => names)))];
}

describe('compileFilter', () => {
  test.each([
    ['docker’s capabilities', DOCKERS],
    ['all capabilities', ALL],
    ['no capability', new Set<string>()],
  ])('decides each call of each architecture as the default profile says, with %s', (_title, capabilities) => {
    const wanted = policy(DEFAULT_PROFILE, capabilities);
    const program = compileFilter(wanted);
    const wrong: string[] = [];
    let checked = 0;
    for (const [title, [architecture = 0, token = 0]] of Object.entries(ARCHITECTURES)) {
      for (const name of [
        ...namesOf(DEFAULT_PROFILE),
        'keyctl',
        'add_key',
        'swapon',
        'userfaultfd',
        'io_uring_setup',
      ]) {
        const number = syscallNumberOn(token, name);
        if (number < 0) continue;
        for (const args of samplesOf(name, title === 'x86_64', DEFAULT_PROFILE)) {
          checked += 1;
          const found = runFilter(program, { number, architecture, args });
          if (found !== decision(name, args, wanted))
            wrong.push(`${title} ${name}(${args.join()}) = ${found.toString(16)}`);
        }
      }
    }
    expect(wrong).toEqual([]);
    expect(checked).toBeGreaterThan(1000);
  });

  test('answers ENOSYS for what is newer than the profile, so that programs fall back', () => {
    const program = compileFilter(policy(DEFAULT_PROFILE));
    for (const [architecture = 0, token] of Object.values(ARCHITECTURES)) {
      const mark = token === 0x4000003e ? 0x40000000 : 0;
      for (const newer of [467, 470, 480, 500]) {
        expect(runFilter(program, { number: newer | mark, architecture }), `${architecture} ${newer}`).toBe(UNKNOWN);
      }
      // In the profile, whether the library knows them or not: fchmodat2, mseal, removexattrat.
      for (const number of [452, 462, 466]) {
        expect(runFilter(program, { number: number | mark, architecture }), `${number}`).toBe(ACTION.allow);
      }
      // quotactl_fd, which the profile has for CAP_SYS_ADMIN.
      expect(runFilter(program, { number: 443 | mark, architecture })).toBe(REFUSED);
    }
  });

  test('kills what calls as another architecture, and does not judge a call that a tracer skips', () => {
    const program = compileFilter(policy(DEFAULT_PROFILE));
    expect(runFilter(program, { number: 1, architecture: 0x80000016 })).toBe(ACTION.killThread);
    const native = { ...policy(DEFAULT_PROFILE), architectures: [] };
    if (process.arch !== 'x64') return;
    const alone = compileFilter(native);
    expect(runFilter(alone, { number: 452 | 0x40000000, architecture: 0xc000003e })).toBe(ACTION.killThread);
    expect(runFilter(alone, { number: 452, architecture: 0xc000003e })).toBe(ACTION.allow);
  });

  test('takes several comparisons of one argument as alternatives, of several as all, as runc does', () => {
    const text = JSON.stringify({
      defaultAction: 'SCMP_ACT_ALLOW',
      syscalls: [
        { names: ['kill'], action: 'SCMP_ACT_ERRNO', errnoRet: 5, args: [arg(1, 9), arg(1, 15)] },
        { names: ['tgkill'], action: 'SCMP_ACT_KILL_PROCESS', args: [arg(0, 1), arg(2, 9)] },
        { name: 'getpid', action: 'SCMP_ACT_TRAP' },
        { name: 'getppid', action: 'SCMP_ACT_LOG' },
        { name: 'no_such_call', action: 'SCMP_ACT_LOG' },
      ],
    });
    const profile = parseSeccompProfile(Buffer.from(text), 'test');
    if (profile === undefined) throw new Error('no profile');
    const program = compileFilter(policy(profile));
    const [architecture = 0, token = 0] = Object.values(ARCHITECTURES)[0] ?? [];
    const call = (name: string, ...args: bigint[]) =>
      runFilter(program, { number: syscallNumberOn(token, name), architecture, args });
    expect(call('kill', 1n, 9n)).toBe(ACTION.errno | 5);
    expect(call('kill', 1n, 15n)).toBe(ACTION.errno | 5);
    expect(call('kill', 1n, 1n)).toBe(ACTION.allow);
    expect(call('tgkill', 1n, 1n, 9n)).toBe(ACTION.killProcess);
    expect(call('tgkill', 2n, 1n, 9n)).toBe(ACTION.allow);
    expect(call('getpid')).toBe(ACTION.trap);
    expect(call('getppid')).toBe(ACTION.log);
    // A lenient profile lets through what it does not know.
    expect(runFilter(program, { number: 500, architecture })).toBe(ACTION.allow);
  });
});

function arg(index: number, value: number, op = 'SCMP_CMP_EQ', valueTwo = 0) {
  return { index, value, valueTwo, op };
}

const SHIPPED = '/usr/share/containers/seccomp.json';
const shipped = firstMissing(hasFile(SHIPPED, 'a package of containers-common'));

/** Why docker's policy refuses what podman's, as Debian ships it, allows; or the other way round. */
const REASONS: readonly (readonly [reason: string, names: string])[] = [
  [
    'podman leaves it to the capability that the kernel asks for; docker filters it too',
    'fsconfig fsmount fsopen fspick get_mempolicy mbind mount mount_setattr move_mount open_tree pidfd_getfd reboot ' +
      'set_mempolicy syslog umount umount2',
  ],
  ['podman lets a container make namespaces, docker one with CAP_SYS_ADMIN', 'clone clone3 setns unshare'],
  ['keyrings are not of a namespace: docker refuses them', 'keyctl'],
  ['docker has a container change its root by chroot alone', 'pivot_root'],
  [
    'of the 32-bit architectures; docker has the calls that replaced them',
    'readdir sigaction signal sigpending sigsuspend',
  ],
  [
    'docker’s is newer than the one that Debian ships',
    'cachestat fchmodat2 futex_requeue futex_wait futex_waitv futex_wake map_shadow_stack quotactl_fd set_mempolicy_home_node',
  ],
  ['podman refuses it, docker does not', 'io_pgetevents io_pgetevents_time64 vmsplice'],
  [
    'docker refuses the kernel’s crypto sockets and the hypervisor’s, podman audit ones without CAP_AUDIT_WRITE',
    'socket',
  ],
  ['Linux 2.6 took it away', 'query_module'],
];

describe.skipIf(shipped)(titled('DEFAULT_PROFILE', shipped), () => {
  test('differs from the profile that Debian ships only where a reason is named', () => {
    const other = parseSeccompProfile(readFileSync(SHIPPED), SHIPPED);
    if (other === undefined) throw new Error('no profile');
    const known = new Set(REASONS.flatMap(([, names]) => names.split(' ')));
    const different = new Set<string>();
    for (const capabilities of [DOCKERS, ALL, new Set<string>()]) {
      const [own, theirs] = [DEFAULT_PROFILE, other].map((profile) => compileFilter(policy(profile, capabilities)));
      if (own === undefined || theirs === undefined) throw new Error('nothing compiled');
      for (const [title, [architecture = 0, token = 0]] of Object.entries(ARCHITECTURES)) {
        for (const name of namesOf(DEFAULT_PROFILE, other)) {
          const number = syscallNumberOn(token, name);
          if (number < 0) continue;
          for (const args of samplesOf(name, title === 'x86_64', DEFAULT_PROFILE, other)) {
            const allows = (program: Buffer) => runFilter(program, { number, architecture, args }) === ACTION.allow;
            if (allows(own) !== allows(theirs)) different.add(name);
          }
        }
      }
    }
    // A name that the library on this machine does not know cannot be told apart here.
    const tokens = Object.values(ARCHITECTURES).map(([, token = 0]) => token);
    const tellable = [...known].filter((name) => tokens.some((token) => syscallNumberOn(token, name) >= 0));
    expect([...different].sort()).toEqual(tellable.sort());
  });
});

describe('parseSeccompProfile', () => {
  const parse = (profile: unknown) => parseSeccompProfile(Buffer.from(JSON.stringify(profile)), 'p.json');
  const rule = (member: object) => ({
    defaultAction: 'SCMP_ACT_ALLOW',
    syscalls: [{ names: ['kill'], action: 'SCMP_ACT_LOG', ...member }],
  });

  test('keeps all 64 bits of a value', () => {
    const text =
      '{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"name":"kill","action":"SCMP_ACT_LOG","comment":"\\"value\\": 1","args":[{"index":0,"op":"SCMP_CMP_EQ","value":18446744073709551615,"valueTwo": 9007199254740993}]}]}';
    const parsed = parseSeccompProfile(Buffer.from(text), 'p.json');
    expect(parsed?.rules[0]?.args).toEqual([
      { index: 0, op: 'SCMP_CMP_EQ', value: 18446744073709551615n, valueTwo: 9007199254740993n },
    ]);
  });

  test('an empty profile filters nothing', async () => {
    expect(parse({})).toBeUndefined();
    expect(await seccompFilter('unconfined', [], '/nowhere')).toBeUndefined();
  });

  test.each([
    ['no JSON', 'x', 'p.json'],
    ['no action', { syscalls: [{ names: ['kill'] }] }, 'defaultAction'],
    ['a listener', { ...rule({}), listenerPath: '/run/x' }, 'listenerPath'],
    [
      'both kinds of architectures',
      { ...rule({}), architectures: ['SCMP_ARCH_X86'], archMap: [{ architecture: 'SCMP_ARCH_X86' }] },
      'archMap',
    ],
    ['both name and names', rule({ name: 'kill' }), 'syscalls[0] has both'],
    ['an index over 5', rule({ args: [arg(6, 1)] }), 'syscalls[0].args[0].index'],
    ['a value that is no number', rule({ args: [{ index: 1, op: 'SCMP_CMP_EQ', value: -1 }] }), 'args[0].value'],
    ['a name with a slash', rule({ names: ['../x'] }), 'no name of a system call'],
    ['an errno over 4095', rule({ errnoRet: 5000 }), 'errnoRet'],
    ['a kernel that is no version', rule({ includes: { minKernel: 'new' } }), 'minKernel'],
  ])('%s is an error that tells its place', (_title, profile, place) => {
    expect(() => parse(profile)).toThrow(place);
  });

  test.each([
    ['action', rule({ action: 'SCMP_ACT_NOTIFY' }), 'SCMP_ACT_NOTIFY'],
    ['action', rule({ action: 'ALLOW' }), 'ALLOW'],
    ['comparison', rule({ args: [arg(0, 1, 'EQ')] }), 'EQ'],
    ['architecture', { ...rule({}), architectures: ['x86'] }, 'x86'],
    ['flag', { ...rule({}), flags: ['SECCOMP_FILTER_FLAG_NEW'] }, 'SECCOMP_FILTER_FLAG_NEW'],
  ])('an unknown %s is an error that names it', (_title, profile, name) => {
    const parsed = parse(profile);
    expect(() => policy(parsed ?? DEFAULT_PROFILE)).toThrow(name);
  });

  test('a rule applies by architecture, capability and kernel', () => {
    const applying = (scope: object, capabilities = DOCKERS) => {
      const parsed = parse(rule(scope));
      return policy(parsed ?? DEFAULT_PROFILE, capabilities).rules.length === 1;
    };
    const { name } = thisMachine();
    expect(applying({})).toBe(true);
    expect(applying({ includes: { arches: [name], caps: ['CAP_KILL', 'CAP_CHOWN'], minKernel: '6.1' } })).toBe(true);
    expect(applying({ includes: { caps: ['CAP_KILL', 'CAP_BPF'] } })).toBe(false);
    expect(applying({ includes: { minKernel: '6.2' } })).toBe(false);
    expect(applying({ includes: { minKernel: '10.0' } })).toBe(false);
    expect(applying({ includes: { arches: ['s390x'] } })).toBe(false);
    expect(applying({ excludes: { caps: ['CAP_BPF', 'CAP_KILL'] } })).toBe(false);
    expect(applying({ excludes: { minKernel: '4.8' } })).toBe(false);
    expect(applying({ excludes: { arches: [name] } })).toBe(false);
    expect(applying({ excludes: { caps: ['CAP_BPF'], arches: ['s390x'], minKernel: '7.0' } })).toBe(true);
  });
});

describe('cachedFilter', () => {
  const directory = mkdtempSync(join(tmpdir(), 'lamina-seccomp-'));
  afterAll(() => rmSync(directory, { recursive: true }));

  test('compiles once, believes no spoilt file, and does without a directory', () => {
    const wanted = policy(DEFAULT_PROFILE);
    const program = compileFilter(wanted);
    expect(cachedFilter(wanted, directory).equals(program)).toBe(true);
    const [name = '', ...others] = readdirSync(directory);
    expect(others).toEqual([]);
    const path = join(directory, name);
    const kept = readFileSync(path);

    const another = Buffer.from('12345678');
    writeFileSync(path, Buffer.concat([createHash('sha256').update(another).digest(), another]));
    expect(cachedFilter(wanted, directory).toString(), 'the kept one is taken').toBe('12345678');
    for (const spoilt of [Buffer.alloc(0), kept.subarray(0, 100), Buffer.alloc(kept.length)]) {
      writeFileSync(path, spoilt);
      expect(cachedFilter(wanted, directory).equals(program)).toBe(true);
      expect(readFileSync(path).equals(kept), 'made anew').toBe(true);
    }
    expect(cachedFilter(wanted, '/proc/nowhere').equals(program)).toBe(true);
    expect(cachedFilter(policy(DEFAULT_PROFILE, ALL), directory).equals(program)).toBe(false);
    expect(readdirSync(directory).length).toBe(2);
  });
});
