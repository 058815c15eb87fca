import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { DIST } from '../support/paths.ts';
import { firstMissing, has, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';
import { Lamina, recipe } from './lamina.ts';

const missing = firstMissing(isRoot(), hasFuseDevice());

describe.skipIf(missing)(titled('a container of root, seen from inside', missing), () => {
  let lamina: Lamina;

  beforeAll(async () => {
    lamina = new Lamina();
    await lamina.load(recipe('tiny'));
    await lamina.load(
      recipe('configured', [], {
        Entrypoint: ['/bin/echo', 'entry'],
        Cmd: ['default'],
        Env: ['PATH=/bin', 'COLOR=blue'],
        WorkingDir: '/made/by/image',
        User: 'guest:staff',
      }),
    );
  });

  afterAll(() => lamina.close());

  const inside = (script: string): Promise<string> => lamina.output('tiny', 'sh', '-c', script);

  /** `NAME=VALUE` for each word that the script assigns to itself on a line `word: value`. */
  async function facts(script: string): Promise<Map<string, string>> {
    const lines = (await inside(script)).split('\n');
    return new Map(lines.map((line) => [line.slice(0, line.indexOf(':')), line.slice(line.indexOf(':') + 1).trim()]));
  }

  test('the command is process 1 of namespaces of its own', async () => {
    const kinds = ['mnt', 'pid', 'uts', 'ipc', 'cgroup'];
    const found = await facts(
      `echo "self: $$"; for n in ${kinds.join(' ')}; do echo "$n: $(readlink /proc/self/ns/$n)"; done`,
    );
    expect(found.get('self')).toBe('1');
    for (const kind of kinds) {
      expect(found.get(kind)).toMatch(new RegExp(`^${kind}:`));
      expect(found.get(kind)).not.toBe(
        execFileSync('readlink', [`/proc/self/ns/${kind}`], { encoding: 'utf8' }).trim(),
      );
    }
  });

  test('a chown of the image’s files copies no data', async () => {
    expect(await lamina.call(['run', 'tiny', 'chown', '7', '/bin/sh'])).toMatchObject({ code: 0, stderr: '' });
    const found = execFileSync('find', [join(lamina.root, 'containers'), '-path', '*/upper/*', '-type', 'f']);
    const [copy = ''] = found.toString().trim().split('\n');
    expect(execFileSync('stat', ['-c', '%u %b', copy]).toString()).toMatch(/^7 [0-8]\n$/);
    expect(statSync(copy).size).toBeGreaterThan(8 * 512);
  });

  test('its capabilities are docker’s default set, inheritable and ambient ones are none', async () => {
    const status = await facts('cat /proc/self/status');
    for (const set of ['CapPrm', 'CapEff', 'CapBnd']) expect(status.get(set), set).toBe('00000000a80425fb');
    for (const set of ['CapInh', 'CapAmb']) expect(status.get(set), set).toBe('0000000000000000');
  });

  test('signals have their default disposition and none is blocked', async () => {
    const status = await facts('exec cat /proc/self/status');
    for (const set of ['SigBlk', 'SigIgn', 'SigCgt']) expect(status.get(set), set).toBe('0000000000000000');
  });

  test('the soft limit of open files is not Node’s', async () => {
    const hard = Number(execFileSync('sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }));
    expect(Number(await inside('ulimit -Sn'))).toBe(Math.min(1024, hard));
  });

  test('no descriptor but 0, 1 and 2 reaches it', async () => {
    expect((await inside('ls /proc/1/fd')).split(/\s+/).filter(Boolean)).toEqual(['0', '1', '2']);
  });

  test('nothing of the host is mounted but devices and its own live files', async () => {
    const mounts = (await inside('cat /proc/self/mountinfo'))
      .trim()
      .split('\n')
      .map((line) => line.split(' '));
    const own = /^\/(proc|sys|dev)(\/|$)/;
    const others = mounts.map((fields) => fields[4] ?? '').filter((point) => !own.test(point));
    expect(others.sort()).toEqual(['/', '/etc/hostname', '/etc/hosts', '/etc/resolv.conf']);
    const devices = mounts.filter((fields) => fields[8] === 'devtmpfs').map((fields) => fields[3]);
    expect(new Set(devices)).toEqual(new Set(['/null', '/zero', '/full', '/random', '/urandom', '/tty']));
  });

  test('every mount but those of the devices is nodev, so that a device made inside cannot be opened', async () => {
    const mounts = (await inside('cat /proc/self/mountinfo'))
      .trim()
      .split('\n')
      .map((line) => line.split(' '));
    const open = mounts
      .filter((fields) => !(fields[5] ?? '').split(',').includes('nodev'))
      .map((fields) => fields[4] ?? '');
    expect(open.filter((point) => !point.startsWith('/dev/') && !point.startsWith('/proc/'))).toEqual([]);
    const made = await lamina.call([
      'run',
      '--rm',
      'tiny',
      'sh',
      '-c',
      'mknod /x c 1 3 && mknod /dev/x c 1 3 && mknod /run/x c 1 3; cat /x; cat /dev/x; cat /run/x',
    ]);
    expect(made.stderr.match(/Permission denied/g)).toHaveLength(3);
  });

  test('/dev has the standard devices and links', async () => {
    const listed = await inside(
      'cd /dev; for d in null zero full random urandom tty; do stat -c "%n %F %t:%T %a" $d; done; for l in fd stdin stdout stderr ptmx; do readlink $l; done; stat -c %a shm; echo x > shm/x && echo x > null && head -c 4 zero | wc -c; ls pts',
    );
    expect(listed.split('\n').slice(0, 6)).toEqual([
      'null character special file 1:3 666',
      'zero character special file 1:5 666',
      'full character special file 1:7 666',
      'random character special file 1:8 666',
      'urandom character special file 1:9 666',
      'tty character special file 5:0 666',
    ]);
    expect(listed.split('\n').slice(6)).toEqual([
      '/proc/self/fd',
      '/proc/self/fd/0',
      '/proc/self/fd/1',
      '/proc/self/fd/2',
      'pts/ptmx',
      '1777',
      '4',
      'ptmx',
      '',
    ]);
  });

  test('dangerous files of /proc and /sys are masked, others read-only', async () => {
    const script =
      'for f in interrupts kcore keys timer_list sched_debug latency_stats; do [ -e /proc/$f ] && echo "$f: $(head -c 9 /proc/$f | wc -c)"; done;' +
      'for d in acpi scsi; do [ -d /proc/$d ] && echo "$d: $(ls /proc/$d | wc -l)"; done; echo "firmware: $(ls /sys/firmware | wc -l)";' +
      'echo "block: $(ls /sys/dev/block | wc -l)"; for f in sys/kernel/hostname sysrq-trigger irq/default_smp_affinity; do echo x 2>/dev/null > /proc/$f && echo "$f: written"; done;' +
      'mkdir /sys/fs/x 2>/dev/null && echo "sys: written"; true';
    const found = await facts(script);
    found.delete('');
    expect(found.get('keys')).toBe('0');
    expect(found.get('firmware')).toBe('0');
    expect([...found.values()].filter((value) => value !== '0')).toEqual([]);
  });

  // The mode and the owner asked for are those that the host's nodes have: nothing changes even where this fails.
  test('devices are used, but mode, owner and times of the host’s nodes cannot be changed', async () => {
    const masked = '/proc/keys /proc/interrupts';
    const script =
      `for f in /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty ${masked}; do [ -e $f ] || continue; ` +
      'for c in "chmod $(stat -c %a $f)" "chown 0:0" "touch -c"; do $c $f 2>/dev/null && echo "$c $f"; done; done; ' +
      'cat <> /dev/null; echo x > /dev/null; echo x >> /dev/zero; head -c 1 /dev/urandom | wc -c; ' +
      'echo x 2>/dev/null > /dev/full || echo full; chmod 666 /proc/self/fd/0 2>/dev/null && echo descriptor; true';
    expect(await inside(script)).toBe('1\nfull\n');
  });

  const noPowercap = existsSync('/sys/devices/virtual/powercap') ? undefined : 'the kernel has no powercap';

  test.skipIf(noPowercap)(titled('powercap of /sys is masked', noPowercap), async () => {
    expect(await inside('ls /sys/devices/virtual/powercap')).toBe('');
  });

  test('standard input is empty without -i and the caller’s with it', async () => {
    const without = await lamina.call(['run', '--rm', 'tiny', 'cat'], { input: 'typed' });
    expect(without).toMatchObject({ code: 0, stdout: '' });
    const kept = await lamina.call(['run', '--rm', '-i', 'tiny', 'cat'], { input: 'typed' });
    expect(kept).toMatchObject({ code: 0, stdout: 'typed' });
  });

  test('a large output passes through whole, on both files', async () => {
    const script = 'head -c 3000000 /dev/zero; head -c 2000000 /dev/zero >&2';
    const { stdout, stderr, code } = await lamina.call(['run', '--rm', 'tiny', 'sh', '-c', script]);
    expect([stdout.length, stderr.length, code]).toEqual([3_000_000, 2_000_000, 0]);
  });

  const noScript = has('script');

  test.skipIf(noScript)(titled('a terminal is not handed over: what the container writes is copied', noScript), () => {
    const command = `${process.execPath} ${join(DIST, 'cli/lamina.js')} run --rm tiny sh -c 'readlink /proc/self/fd/1; [ -t 1 ] || echo plain; echo x 2>/dev/null > /dev/tty || echo none'`;
    const output = execFileSync('script', ['-qec', command, '/dev/null'], {
      env: { ...process.env, LAMINA_ROOT: lamina.root },
      encoding: 'utf8',
    });
    expect(output).toMatch(/^pipe:.*\r\nplain\r\nnone\r\n$/);
  });

  test('/dev/stdout can be opened by the container’s user', async () => {
    const { code, stdout } = await lamina.call([
      'run',
      '--rm',
      '--user',
      'guest',
      'tiny',
      'sh',
      '-c',
      'echo through > /dev/stdout',
    ]);
    expect({ code, stdout }).toEqual({ code: 0, stdout: 'through\n' });
  });

  test('the host name is the id’s first digits, or the one given', async () => {
    const { stdout } = await lamina.call([
      'run',
      '--rm',
      '--name',
      'named',
      'tiny',
      'sh',
      '-c',
      'uname -n; cat /etc/hostname; echo $HOSTNAME; tail -n 1 /etc/hosts',
    ]);
    const [name = ''] = stdout.split('\n');
    expect(name).toMatch(/^[0-9a-f]{12}$/);
    expect(stdout).toBe(`${name}\n${name}\n${name}\n127.0.1.1\t${name}\n`);
    const given = await lamina.call(['run', '--rm', '--hostname', 'box', 'tiny', 'uname', '-n']);
    expect(given.stdout).toBe('box\n');
  });

  test('entrypoint, arguments, environment, user and working directory are the image’s', async () => {
    expect(await lamina.output('configured')).toBe('entry default\n');
    expect(await lamina.output('configured', 'other')).toBe('entry other\n');
    const { stdout } = await lamina.call([
      'run',
      '--rm',
      '--entrypoint',
      '/bin/sh',
      'configured',
      '-c',
      'pwd; id; echo $COLOR $HOME $container',
    ]);
    expect(stdout).toBe('/made/by/image\nuid=1000(guest) gid=50(staff) groups=50(staff)\nblue /srv lamina\n');
  });

  test('the environment is made of image, files and options, in this order', async () => {
    const file = join(lamina.root, '../variables');
    writeFileSync(file, '# comment\nCOLOR=green\nSHAPE=round\n\nFROM_CALLER\n');
    const args = [
      'run',
      '--rm',
      '--entrypoint',
      'env',
      '--env-file',
      file,
      '-e',
      'SHAPE=flat',
      '-e',
      'EMPTY=',
      '-e',
      'ABSENT',
      'configured',
    ];
    const { stdout } = await lamina.call(args, { env: { FROM_CALLER: 'yes' } });
    const env = new Set(stdout.trim().split('\n'));
    for (const entry of ['COLOR=green', 'SHAPE=flat', 'FROM_CALLER=yes', 'EMPTY=']) expect(env).toContain(entry);
    expect(stdout).not.toContain('ABSENT');
    expect(stdout).not.toContain('LAMINA_ROOT');
  });

  test('--user takes names and numbers, with the groups that list the user', async () => {
    const ids = async (user: string) =>
      (await lamina.call(['run', '--rm', '--user', user, 'tiny', 'sh', '-c', 'id -u; id -g; id -G; echo $HOME'])).stdout
        .split('\n')
        .slice(0, 4);
    expect(await ids('guest')).toEqual(['1000', '1000', '1000 50', '/srv']);
    expect(await ids('1000')).toEqual(['1000', '1000', '1000 50', '/srv']);
    expect(await ids('guest:root')).toEqual(['1000', '0', '0', '/srv']);
    expect(await ids('4321')).toEqual(['4321', '0', '0', '/']);
    expect(await ids('4321:99')).toEqual(['4321', '99', '99', '/']);
  });

  test('--user of an id that is not listed gets a line in /etc/passwd, which the upper does not show', async () => {
    await lamina
      .call([
        'run',
        '--name',
        'unlisted',
        '--user',
        '4321:7',
        '-w',
        '/srv',
        'tiny',
        'sh',
        '-c',
        'id -un; tail -n 1 /etc/passwd',
      ])
      .then((outcome) => {
        expect(outcome).toEqual({ code: 0, stdout: '4321\n4321:*:4321:7:container user:/srv:/bin/sh\n', stderr: '' });
      });
    expect((await lamina.call(['diff', 'unlisted'])).stdout).toBe('');
  });

  test('an ordinary user of a container has no capability and cannot get one', async () => {
    const { stdout } = await lamina.call(['run', '--rm', '--user', 'guest', 'tiny', 'cat', '/proc/self/status']);
    for (const set of ['CapPrm', 'CapEff', 'CapAmb', 'CapInh'])
      expect(stdout).toMatch(new RegExp(`${set}:\\s+0000000000000000`));
  });

  test('--read-only leaves nothing writable but temporary directories', async () => {
    const { stdout, code } = await lamina.call([
      'run',
      '--rm',
      '--read-only',
      'tiny',
      'sh',
      '-c',
      'for d in / /etc /srv /run /tmp /var/tmp /dev/shm; do touch $d/x 2>/dev/null && echo $d; done; true',
    ]);
    expect({ stdout, code }).toEqual({ stdout: '/run\n/tmp\n/var/tmp\n/dev/shm\n', code: 0 });
  });

  test('--network none leaves the loopback interface, which is up', async () => {
    const { stdout } = await lamina.call([
      'run',
      '--rm',
      '--network',
      'none',
      'tiny',
      'sh',
      '-c',
      'ls /sys/class/net; cat /sys/class/net/lo/flags',
    ]);
    const [interfaces, flags] = stdout.split('\n');
    expect(interfaces).toBe('lo');
    expect(Number(flags) & 1).toBe(1);
  });

  test('-v binds directories and files, read-only with :ro', async () => {
    const shared = mkdtempSync(join(tmpdir(), 'lamina-volume-'));
    mkdirSync(join(shared, 'data'));
    writeFileSync(join(shared, 'file'), 'from outside\n');
    const args = [
      'run',
      '--name',
      'volumes',
      '-v',
      `${shared}/data:/new/place`,
      '-v',
      `${shared}/file:/etc/extra:ro`,
      'tiny',
      'sh',
      '-c',
      'cat /etc/extra; echo x > /new/place/made; echo x > /etc/extra',
    ];
    const { stdout, stderr } = await lamina.call(args);
    expect(stdout).toBe('from outside\n');
    expect(stderr).toContain('Read-only file system');
    expect(readdirSync(join(shared, 'data'))).toEqual(['made']);
    expect(readFileSync(join(shared, 'file'), 'utf8')).toBe('from outside\n');
    expect((await lamina.call(['diff', 'volumes'])).stdout).toBe('');
    rmSync(shared, { recursive: true });
  });

  test('the live files can be changed inside and never show in the upper', async () => {
    await lamina.call([
      'run',
      '--name',
      'live',
      'tiny',
      'sh',
      '-c',
      'echo 10.0.0.1 other >> /etc/hosts; echo changed > /etc/hostname',
    ]);
    expect((await lamina.call(['diff', 'live'])).stdout).toBe('');
  });
});
