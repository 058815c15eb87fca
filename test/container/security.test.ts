import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { permittedCapabilities } from '../../fs/sys/capability.ts';
import { appArmorProfile } from '../../runner/container/apparmor.ts';
import { capabilitySets, parseCapability } from '../../runner/container/capabilities.ts';
import { readSecurityOptions } from '../../runner/container/options/security-opt.ts';
import { ORDINARY_SECURITY } from '../../runner/container/options/security.ts';
import { parseSysctl } from '../../runner/container/options/sysctls.ts';
import { parseUlimit } from '../../runner/container/options/ulimits.ts';
import { systemPathsOf } from '../../runner/container/system-paths.ts';
import { DIST } from '../support/paths.ts';
import { firstMissing, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';
import { Lamina, extraProgram, recipe } from './lamina.ts';

const missing = firstMissing(isRoot(), hasFuseDevice());

describe.skipIf(missing)(titled('what the processes of a container may do', missing), () => {
  let lamina: Lamina;
  let directory: string;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'lamina-security-'));
    lamina = new Lamina();
    await lamina.load(recipe('tools', ['unshare', 'mount', 'perl', 'grep', 'sed'].map(extraProgram)));
  });

  afterAll(async () => {
    await lamina.close();
    rmSync(directory, { recursive: true });
  });

  // Whatever helper of networks this machine has.
  const run = (...args: string[]) => lamina.call(['run', '--rm', '--network', 'host', ...args]);

  /** `name: value` of /proc/self/status and of what the script prints besides. */
  async function status(options: readonly string[], script = ''): Promise<Map<string, string>> {
    const outcome = await run(...options, 'tools', 'sh', '-c', `cat /proc/self/status; ${script}`);
    if (outcome.code !== 0) throw new Error(outcome.stderr);
    const lines = outcome.stdout.split('\n').map((line) => /^([^:]*):\s*(.*)$/.exec(line));
    return new Map(lines.map((match) => [match?.[1] ?? '', match?.[2] ?? '']));
  }

  test('docker’s filter holds, and refuses what it refuses without more', async () => {
    const script =
      'unshare --user true 2>&1 | head -n 1 | sed "s/^/unshare: /"; ' +
      'perl -e \'print "keyctl: ", (syscall(250, 0, 0) == -1 ? $!+0 : "done"), "\\n"; ' +
      'print "newest: ", (syscall(499, 0) == -1 ? $!+0 : "done"), "\\n"; ' +
      'print "vsock: ", (syscall(41, 40, 1, 0) == -1 ? $!+0 : "done"), "\\n"; ' +
      'print "personality: ", (syscall(135, 0x0040000) == -1 ? $!+0 : "done"), "\\n"\'';
    const found = await status([], script);
    expect(found.get('Seccomp')).toBe('2');
    expect(found.get('NoNewPrivs')).toBe('0');
    expect(found.get('unshare')).toContain('Operation not permitted');
    if (process.arch === 'x64') {
      expect(['keyctl', 'newest', 'vsock', 'personality'].map((name) => found.get(name))).toEqual([
        '1',
        '38',
        '1',
        '1',
      ]);
    }
  });

  test('--security-opt seccomp=FILE is the filter, unconfined is none', async () => {
    const profile = join(directory, 'profile.json');
    const rule = { names: ['mkdir', 'mkdirat'], action: 'SCMP_ACT_ERRNO', errnoRet: 28 };
    writeFileSync(profile, JSON.stringify({ defaultAction: 'SCMP_ACT_ALLOW', syscalls: [rule] }));
    const own = await run('--security-opt', `seccomp=${profile}`, 'tools', 'mkdir', '/x');
    expect(own).toMatchObject({ code: 1, stderr: expect.stringContaining('No space left') as string });
    const none = await status(['--security-opt', 'seccomp=unconfined'], 'unshare --user true && echo unshare: done');
    expect([none.get('Seccomp'), none.get('unshare')]).toEqual(['0', 'done']);
    writeFileSync(profile, '{"defaultAction":"SCMP_ACT_NOTHING"}');
    const wrong = await run('--security-opt', `seccomp=${profile}`, 'tools', 'true');
    expect(wrong).toMatchObject({ code: 125, stderr: expect.stringContaining('SCMP_ACT_NOTHING') as string });
  });

  test('with no_new_privs a profile need allow no more than the command itself does', async () => {
    const profile = join(directory, 'strict.json');
    const names =
      'execve brk mmap munmap mprotect access openat open read pread64 close fstat newfstatat arch_prctl write exit exit_group prlimit64 rseq set_tid_address set_robust_list getrandom uname readlink'.split(
        ' ',
      );
    writeFileSync(
      profile,
      JSON.stringify({ defaultAction: 'SCMP_ACT_ERRNO', syscalls: [{ names, action: 'SCMP_ACT_ALLOW' }] }),
    );
    const outcome = await run(
      '--security-opt',
      `seccomp=${profile}`,
      '--security-opt',
      'no-new-privileges',
      'tools',
      'cat',
      '/proc/self/status',
    );
    expect(outcome.stderr).toBe('');
    expect(outcome.stdout).toMatch(/^NoNewPrivs:\t1$/m);
    expect(outcome.stdout).toMatch(/^Seccomp:\t2$/m);
  });

  test('--cap-add and --cap-drop make the sets; another user has what was added by name', async () => {
    const added = await status(
      ['--cap-add', 'sys_admin,CAP_NET_ADMIN', '--cap-drop', 'NET_RAW', '--cap-drop', 'mknod'],
      'mount -t tmpfs none /mnt 2>/dev/null || mkdir /mnt && mount -t tmpfs none /mnt && echo mount: done',
    );
    expect(added.get('CapBnd')).toBe('00000000a02415fb');
    expect(added.get('mount')).toBe('done');
    const user = await status(['--user', '1234', '--cap-add', 'NET_BIND_SERVICE', '--cap-drop', 'ALL']);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      expect(user.get(set), set).toBe('0000000000000400');
    const none = await status(['--cap-drop', 'all']);
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb'])
      expect(none.get(set), set).toBe('0000000000000000');
    expect(await run('--cap-add', 'nothing', 'tools', 'true')).toMatchObject({
      code: 125,
      stderr: expect.stringContaining('"nothing" is no capability') as string,
    });
  });

  test('--privileged has all capabilities, no filter, no masks, and all of /sys', async () => {
    const all = permittedCapabilities().reduce((set, capability) => set | (1n << BigInt(capability)), 0n);
    const found = await status(
      ['--privileged'],
      'grep -c " /proc/" /proc/self/mountinfo | sed "s/^/masks: /"; grep -E " /sys rw," /proc/self/mountinfo >/dev/null && echo sys: writable',
    );
    for (const set of ['CapPrm', 'CapEff', 'CapBnd'])
      expect(found.get(set), set).toBe(all.toString(16).padStart(16, '0'));
    expect(['Seccomp', 'masks', 'sys'].map((name) => found.get(name))).toEqual(['0', '0', 'writable']);
  });

  test('limits, groups, umask and masked paths are those that were asked for', async () => {
    const options = [
      '--ulimit',
      'nofile=100:200',
      '--ulimit',
      'core=0',
      '--group-add',
      '5',
      '--group-add',
      '77',
      '--umask',
      '0077',
    ];
    const paths = ['--security-opt', 'mask=/bin/perl:/proc/version:/sys/kernel', '--security-opt', 'unmask=/proc/keys'];
    const script =
      'echo "nofile: $(ulimit -Sn) $(ulimit -Hn)"; echo "core: $(ulimit -c)"; echo "mask: $(umask)"; ' +
      'echo "masked: $(cat /bin/perl /proc/version | wc -c) $(ls /sys/kernel | wc -l)"; echo "keys: $(grep -c " /proc/keys " /proc/self/mountinfo)"';
    const found = await status([...options, ...paths], script);
    expect(found.get('nofile')).toBe('100 200');
    expect(found.get('core')).toBe('0');
    expect(found.get('mask')).toBe('0077');
    expect(found.get('masked')).toBe('0 0');
    expect(found.get('keys')).toBe('0');
    expect(found.get('Groups')?.trim()).toBe('5 77');
    const unknown = await run('--group-add', 'nobody-knows', 'tools', 'true');
    expect(unknown).toMatchObject({ code: 126, stderr: expect.stringContaining('nobody-knows') as string });
  });

  test('--sysctl sets what is of the container’s namespaces, and refuses what is the host’s', async () => {
    const options = [
      '--sysctl',
      'kernel.msgmax=65000',
      '--sysctl',
      'net/ipv4/ip_forward=1',
      '--sysctl',
      'kernel.domainname=inner.test',
      '--network',
      'none',
    ];
    const outcome = await run(
      ...options,
      'tools',
      'cat',
      '/proc/sys/kernel/msgmax',
      '/proc/sys/net/ipv4/ip_forward',
      '/proc/sys/kernel/domainname',
    );
    expect(outcome).toEqual({ code: 0, stdout: '65000\n1\ninner.test\n', stderr: '' });
    expect(await run('--sysctl', 'kernel.panic=0', 'tools', 'true')).toMatchObject({
      code: 125,
      stderr: expect.stringContaining('whole host') as string,
    });
    expect(await run('--sysctl', 'net.ipv4.ip_forward=1', '--network', 'host', 'tools', 'true')).toMatchObject({
      code: 125,
      stderr: expect.stringContaining("host's network") as string,
    });
  });

  test('without libseccomp a container needs --security-opt seccomp=unconfined, and is told so', () => {
    // In a mount namespace of its own, where the library is an empty file.
    const script =
      'mount --bind /dev/null "$(readlink -f "$(ldconfig -p | sed -n "s/.*libseccomp.so.2 .* => //p" | head -n 1)")" && exec "$@"';
    const call = (...options: readonly string[]) => {
      const command = [
        process.execPath,
        join(DIST, 'cli/lamina.js'),
        'run',
        '--rm',
        '--network',
        'host',
        ...options,
        'tools',
        'echo',
        'done',
      ];
      const env = { ...process.env, LAMINA_ROOT: lamina.root };
      return spawnSync('unshare', ['--mount', 'sh', '-c', script, 'sh', ...command], { encoding: 'utf8', env });
    };
    const without = call();
    expect(without).toMatchObject({ status: 125, stdout: '' });
    expect(without.stderr).toMatch(
      /^[^\n]*libseccomp\.so\.2[^\n]*apt-get install libseccomp2[^\n]*seccomp=unconfined\n$/,
    );
    expect(call('--security-opt', 'seccomp=unconfined')).toMatchObject({ status: 0, stdout: 'done\n', stderr: '' });
  });
});

describe('capabilitySets', () => {
  const available = ['CAP_CHOWN', 'CAP_KILL', 'CAP_NET_RAW', 'CAP_SYS_ADMIN'];
  const sets = (add: string[], drop: string[], privileged = false) =>
    capabilitySets({ privileged, add, drop }, available);

  test.each([
    ['nothing', [], [], 'CHOWN KILL NET_RAW', ''],
    ['one more', ['CAP_SYS_ADMIN'], [], 'CHOWN KILL NET_RAW SYS_ADMIN', 'SYS_ADMIN'],
    ['one less', [], ['CAP_KILL'], 'CHOWN NET_RAW', ''],
    ['all', ['ALL'], [], 'CHOWN KILL NET_RAW SYS_ADMIN', 'CHOWN KILL NET_RAW SYS_ADMIN'],
    ['all but one', ['ALL'], ['CAP_KILL'], 'CHOWN NET_RAW SYS_ADMIN', 'CHOWN NET_RAW SYS_ADMIN'],
    ['none', [], ['ALL'], '', ''],
    ['one alone', ['CAP_KILL'], ['ALL'], 'KILL', 'KILL'],
  ])('%s', (_title, add, drop, bounding, ambient) => {
    const names = (text: string) =>
      text
        .split(' ')
        .filter(Boolean)
        .map((name) => `CAP_${name}`);
    expect(sets(add, drop)).toEqual({ bounding: names(bounding), ambient: names(ambient) });
  });

  test('what contradicts itself, or cannot be given, is an error that names it', () => {
    expect(() => sets(['CAP_KILL'], ['CAP_KILL'])).toThrow('both name CAP_KILL');
    expect(() => sets(['ALL'], ['ALL'])).toThrow('both name ALL');
    expect(() => sets(['CAP_SYS_TIME'], [])).toThrow('CAP_SYS_TIME');
    expect(sets([], ['CAP_KILL'], true).bounding).toEqual(['CAP_CHOWN', 'CAP_NET_RAW', 'CAP_SYS_ADMIN']);
  });

  test('parseCapability takes names with and without CAP_, in any case', () => {
    expect(['net_admin', 'CAP_NET_ADMIN', 'cap_Net_Admin', 'all'].map(parseCapability)).toEqual([
      'CAP_NET_ADMIN',
      'CAP_NET_ADMIN',
      'CAP_NET_ADMIN',
      'ALL',
    ]);
    for (const wrong of ['', 'CAP_', 'NET', 'CAP_ALL', '12']) expect(() => parseCapability(wrong), wrong).toThrow();
  });
});

test.each([
  ['nofile=5', { name: 'nofile', soft: '5', hard: '5' }],
  ['core=0:-1', { name: 'core', soft: '0', hard: undefined }],
  ['stack=unlimited', { name: 'stack', soft: undefined, hard: undefined }],
  ['nofile=6:5', undefined],
  ['nofile=-1:5', undefined],
  ['nofile=', undefined],
  ['nofile', undefined],
  ['files=5', undefined],
  ['nofile=5:6:7', undefined],
  ['nofile=1e3', undefined],
  ['cpu=18446744073709551616', undefined],
])('parseUlimit of %s', (text, limit) => {
  if (limit === undefined) expect(() => parseUlimit(text)).toThrow(text);
  else expect(parseUlimit(text)).toEqual(limit);
});

test.each([
  ['kernel.sem=1 2 3 4', 'kernel/sem', '1 2 3 4'],
  ['net.ipv4.conf.eth0/1.forwarding=1', 'net/ipv4/conf/eth0.1/forwarding', '1'],
  ['net/ipv4/conf/eth0.1/forwarding=', 'net/ipv4/conf/eth0.1/forwarding', ''],
  ['fs.mqueue.msg_max=10', 'fs/mqueue/msg_max', '10'],
  ['kernel.hostname=x', undefined, ''],
  ['vm.swappiness=1', undefined, ''],
  ['net/../kernel/panic=1', undefined, ''],
  ['net/./kernel=1', undefined, ''],
  ['kernel.shmmax', undefined, ''],
  ['=1', undefined, ''],
])('parseSysctl of %s', (text, path, value) => {
  if (path === undefined) expect(() => parseSysctl(text)).toThrow('--sysctl');
  else expect(parseSysctl(text)).toEqual({ path, value });
});

test('readSecurityOptions takes docker’s and podman’s options, and names what it does not know', () => {
  const read = (...texts: string[]) => readSecurityOptions(texts, ORDINARY_SECURITY);
  expect(read('no-new-privileges').noNewPrivileges).toBe(true);
  expect(read('no-new-privileges:true').noNewPrivileges).toBe(true);
  expect(read('no-new-privileges=true', 'no-new-privileges=false').noNewPrivileges).toBe(false);
  expect(read('seccomp:unconfined', 'apparmor=mine', 'label=disable')).toMatchObject({
    seccomp: 'unconfined',
    apparmor: 'mine',
  });
  expect(read('mask=/a:/b/', 'mask=/c', 'unmask=/proc/*')).toMatchObject({
    mask: ['/a', '/b', '/c'],
    unmask: ['/proc/*'],
  });
  expect(read('systempaths=unconfined').unmask).toEqual(['ALL']);
  for (const wrong of [
    'seccomp=',
    'seccomp=/no/such',
    'no-new-privileges=maybe',
    'apparmor=',
    'mask=a',
    'systempaths=all',
    'proc-opts=x',
    'x=y',
    '',
  ]) {
    expect(() => read(wrong), wrong).toThrow();
  }
});

test('systemPathsOf leaves out what is unmasked', () => {
  expect(systemPathsOf(false, ['/x'], ['ALL'])).toEqual({ masked: ['/x'], readOnly: [] });
  expect(systemPathsOf(true, [], [])).toEqual({ masked: [], readOnly: [] });
  const some = systemPathsOf(false, [], ['/proc/*', '/sys/firmware']);
  expect(some.readOnly).toEqual([]);
  expect(some.masked).not.toContain('/proc/kcore');
  expect(some.masked).not.toContain('/sys/firmware');
  expect(some.masked).toContain('/sys/dev/block');
});

test('appArmorProfile is docker’s where it is loaded, and an error where it cannot be', () => {
  const host = { enabled: true, profiles: ['/usr/bin/man', 'docker-default'] };
  expect(appArmorProfile(undefined, false, host)).toBe('docker-default');
  expect(appArmorProfile(undefined, false, { enabled: true, profiles: ['containers-default-0.50.1'] })).toBe(
    'containers-default-0.50.1',
  );
  expect(appArmorProfile(undefined, false, { enabled: true, profiles: [] })).toBeUndefined();
  expect(appArmorProfile(undefined, true, host)).toBeUndefined();
  expect(appArmorProfile('mine', true, host)).toBe('mine');
  expect(appArmorProfile('unconfined', false, host)).toBe('unconfined');
  const none = { enabled: false, profiles: [] };
  expect(appArmorProfile(undefined, false, none)).toBeUndefined();
  expect(appArmorProfile('unconfined', false, none)).toBeUndefined();
  expect(() => appArmorProfile('mine', false, none)).toThrow('no AppArmor');
});
