import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { deviceRules, parseDevice } from '../../runner/container/options/devices.ts';
import { parseNamespace } from '../../runner/container/options/namespaces.ts';
import { firstMissing, has, hasFuseDevice, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';
import { Lamina, ended, makeUser, recipe, removeUser, wrote } from './lamina.ts';

const missing = firstMissing(isRoot(), hasFuseDevice());

describe.skipIf(missing)(titled('namespaces and devices of a container', missing), () => {
  let lamina: Lamina;

  beforeAll(async () => {
    lamina = new Lamina();
    await lamina.load(recipe('tiny'));
  });

  afterAll(() => lamina.close());

  // Whatever helper of networks this machine has.
  const run = (...args: string[]) => lamina.call(['run', '--rm', '--network', 'host', ...args]);
  const refused = (text: string) => ({ code: 125, stderr: expect.stringContaining(text) as string });

  test('host: the namespaces are the caller’s, and nothing of the host is changed by it', async () => {
    const before = hostname();
    const options = ['--pid', 'host', '--ipc', 'host', '--uts', 'host', '--cgroupns', 'host'];
    const script =
      'for n in pid ipc uts cgroup; do readlink /proc/self/ns/$n; done; cat /proc/sys/kernel/hostname; echo $HOSTNAME; ls /dev/shm | wc -l; ' +
      'ls /proc/kcore >/dev/null 2>&1; [ -s /proc/kcore ] && echo unmasked; [ -d /proc/' +
      String(process.pid) +
      ' ] && echo seen';
    const outcome = await run(...options, 'tiny', 'sh', '-c', script);
    const own = ['pid', 'ipc', 'uts', 'cgroup'].map((name) => readlinkSync(`/proc/self/ns/${name}`));
    const files = existsSync('/dev/shm') ? readdirSync('/dev/shm').length : 0;
    expect(outcome).toEqual({ code: 0, stderr: '', stdout: [...own, before, before, files, 'seen', ''].join('\n') });
    expect(hostname()).toBe(before);
    expect(await run('--uts', 'host', '-h', 'other', 'tiny', 'true')).toMatchObject(refused('--uts host'));
    expect(await run('--ipc', 'host', '--sysctl', 'kernel.msgmax=1', 'tiny', 'true')).toMatchObject(refused('ipc'));
  });

  test('host: what the first process leaves behind ends with it', async () => {
    const mark = `${77_000 + (process.pid % 1000)}`;
    const outcome = await run('--pid', 'host', 'tiny', 'sh', '-c', `sleep ${mark} >/dev/null 2>&1 & echo started`);
    expect(outcome).toEqual({ code: 0, stdout: 'started\n', stderr: '' });
    expect(execFileSync('ps', ['-eo', 'args='], { encoding: 'utf8' }).split('\n')).not.toContain(`sleep ${mark}`);
  });

  test('container:NAME shares processes, queues and memory with another container', async () => {
    const options = ['--cap-drop', 'MKNOD', '--security-opt', 'no-new-privileges', '--ulimit', 'core=0'];
    const first = lamina.start([
      'run',
      '--rm',
      '--name',
      'first',
      ...options,
      '--shm-size',
      '1m',
      'tiny',
      'sh',
      '-c',
      'echo shared >/dev/shm/x; readlink /proc/self/ns/ipc /proc/self/ns/pid; read x; echo ready; sleep 600',
    ]);
    const over = ended(first);
    first.stdin?.end('\n');
    await wrote(first, 'ready');
    const [inspected] = JSON.parse((await lamina.call(['inspect', 'first'])).stdout) as [{ HostConfig: object }];
    expect(inspected.HostConfig).toMatchObject({
      CapDrop: ['CAP_MKNOD'],
      SecurityOpt: ['no-new-privileges'],
      Ulimits: [{ Name: 'core', Soft: 0, Hard: 0 }],
      PidMode: 'private',
      Devices: [],
    });
    const script =
      'readlink /proc/self/ns/ipc /proc/self/ns/pid; cat /dev/shm/x; head -c 2000000 /dev/zero 2>/dev/null >/dev/shm/y; stat -c %s /dev/shm/y; cat /proc/1/cmdline | tr "\\0" " "';
    const second = await run('--pid', 'container:first', '--ipc', 'container:first', 'tiny', 'sh', '-c', script);
    const [ipc, pid, shared, size, command] = second.stdout.split('\n');
    const own = readlinkSync('/proc/self/ns/ipc');
    expect(ipc).toMatch(/^ipc:/);
    expect(ipc).not.toBe(own);
    expect(pid).toMatch(/^pid:/);
    expect(shared).toBe('shared');
    // As much as there is room for beside the other file.
    expect(Number(size)).toBeGreaterThan(900_000);
    expect(Number(size)).toBeLessThan(1_048_576);
    expect(command).toContain('sh -c echo shared');
    expect((await lamina.call(['rm', '-f', 'first'])).code).toBe(0);
    await over;
    expect(await run('--pid', 'container:first', 'tiny', 'true')).toMatchObject(refused('no container'));
  });

  test('--ipc none has no /dev/shm, --domainname and --time-offset are set, a wrong namespace is refused', async () => {
    const outcome = await run(
      '--ipc',
      'none',
      '--domainname',
      'inner.test',
      'tiny',
      'sh',
      '-c',
      'ls -d /dev/shm; cat /proc/sys/kernel/domainname',
    );
    expect(outcome.stdout).toBe('inner.test\n');
    const script = 'cat /proc/uptime; readlink /proc/self/ns/time';
    const ahead = await run(
      '--time-offset',
      'boottime=900000000',
      '--time-offset',
      'monotonic=5',
      'tiny',
      'sh',
      '-c',
      script,
    );
    const [uptime = '', namespace] = ahead.stdout.split('\n');
    expect(Number(uptime.split(' ')[0])).toBeGreaterThan(900_000_000);
    expect(namespace).toMatch(/^time:/);
    expect(namespace).not.toBe(readlinkSync('/proc/self/ns/time'));
    expect(await run('--time-offset', 'realtime=5', 'tiny', 'true')).toMatchObject(refused('--time-offset'));
    expect(await run('--pid', 'mine', 'tiny', 'true')).toMatchObject(refused('container:NAME'));
    expect(await run('--userns', 'other', 'tiny', 'true')).toMatchObject(refused('--userns'));
  });

  test('--device gives nodes, in directories too, that can be used and not changed', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'lamina-devices-'));
    try {
      execFileSync('mknod', ['-m', '666', join(directory, 'nothing'), 'c', '1', '3']);
      writeFileSync(join(directory, 'file'), '');
      const options = ['--device', `${directory}:/dev/of/host`, '--device', '/dev/zero:/zero:r'];
      const script =
        'ls /dev/of/host; echo x >/dev/of/host/nothing && head -c 1 /zero | wc -c; chmod 0 /dev/of/host/nothing 2>/dev/null || echo kept';
      const outcome = await run(...options, 'tiny', 'sh', '-c', script);
      expect(outcome).toEqual({ code: 0, stdout: 'nothing\n1\nkept\n', stderr: '' });
      expect(await run('--device', join(directory, 'file'), 'tiny', 'true')).toMatchObject(refused('neither a device'));
      expect(await run('--device', '/dev/no-such', 'tiny', 'true')).toMatchObject(refused('no such file'));
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  test('--device-cgroup-rule and --privileged open what is made inside; privileged has the host’s devices', async () => {
    // The number of /dev/fuse, which no container may use without being given it.
    const script =
      'mknod /dev/own c 10 229; (: <>/dev/own) 2>/dev/null && echo opened; ls -d /dev/fuse 2>/dev/null; true';
    expect((await run('tiny', 'sh', '-c', script)).stdout).toBe('');
    expect((await run('--device-cgroup-rule', 'c 10:200 rwm', 'tiny', 'sh', '-c', script)).stdout).toBe('');
    expect((await run('--device-cgroup-rule', 'c 10:229 rwm', 'tiny', 'sh', '-c', script)).stdout).toBe('opened\n');
    expect((await run('--privileged', 'tiny', 'sh', '-c', script)).stdout).toBe('opened\n/dev/fuse\n');
    expect(await run('--cgroups', 'disabled', '--device-cgroup-rule', 'c 10:229 rwm', 'tiny', 'true')).toMatchObject(
      refused('--cgroups=disabled'),
    );
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(lamina.root);
  });
});

const rootless = firstMissing(missing, hasUserNamespaces(), has('newuidmap'), has('setpriv'));

describe.skipIf(rootless)(titled('namespaces and devices of an ordinary user’s container', rootless), () => {
  test('are shared with the host where that is possible, and privileged is what the user namespace has', async () => {
    const user = makeUser(`lamns${process.pid % 10_000}`, { start: 710_000, count: 65_536 });
    const lamina = new Lamina(user);
    try {
      await lamina.load(recipe('tiny'));
      const script = `[ -d /proc/${process.pid} ] && echo seen; stat -c %F /dev/other; cat /proc/self/status`;
      const options = ['--pid', 'host', '--ipc', 'host', '--uts', 'host', '--cgroupns', 'host', '--network', 'host'];
      const shared = await lamina.call([
        'run',
        '--rm',
        ...options,
        '--device',
        '/dev/null:/dev/other',
        'tiny',
        'sh',
        '-c',
        script,
      ]);
      expect(shared).toMatchObject({ code: 0, stderr: '' });
      expect(shared.stdout).toMatch(/^seen\ncharacter special file\n/);
      expect(shared.stdout).toMatch(/^Seccomp:\t2$/m);
      const all = await lamina.call([
        'run',
        '--rm',
        '--privileged',
        '--network',
        'host',
        'tiny',
        'sh',
        '-c',
        'cat /proc/self/status',
      ]);
      expect(all.stdout).toMatch(/^CapEff:\t0*1ff+$/m);
      expect(all.stdout).toMatch(/^Seccomp:\t0$/m);
    } finally {
      await lamina.close();
      removeUser(user.name);
    }
  });
});

test('parseDevice takes docker’s forms', () => {
  const parsed = (text: string) =>
    parseDevice(text).map(({ source, destination, access }) => [source, destination, access]);
  expect(parsed('/dev/null')).toEqual([['/dev/null', '/dev/null', 'rwm']]);
  expect(parsed('/dev/null:rw')).toEqual([['/dev/null', '/dev/null', 'rw']]);
  expect(parsed('/dev/null:/dev/x:r')).toEqual([['/dev/null', '/dev/x', 'r']]);
  expect(deviceRules(parseDevice('/dev/full:m'))).toEqual([{ type: 'c', major: 1, minor: 7, access: 'm' }]);
  for (const wrong of ['null', '/dev/null:x', '/dev/null:/x:y', '/dev/null:/x:r:w', '/dev/null::', '']) {
    expect(() => parseDevice(wrong), wrong).toThrow('--device');
  }
});

test('parseNamespace takes docker’s and podman’s words', () => {
  expect(parseNamespace('ipc', 'shareable', 'none', 'container')).toBe('private');
  expect(parseNamespace('ipc', 'none', 'none', 'container')).toBe('none');
  expect(parseNamespace('pid', '', 'container')).toBe('private');
  expect(parseNamespace('pid', 'container:x', 'container')).toBe('container:x');
  for (const wrong of ['container', 'container:', 'none', 'ns:/x']) {
    expect(() => parseNamespace('pid', wrong, 'container'), wrong).toThrow('--pid');
  }
  expect(() => parseNamespace('uts', 'container:x')).toThrow('--uts');
});
