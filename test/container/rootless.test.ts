import { execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, readFileSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ContainerState } from '../../runner/container/container.ts';
import { identify } from '../../runner/container/process-identity.ts';
import { type Layer } from '../../runner/demo/image.ts';
import { DIST } from '../support/paths.ts';
import { firstMissing, has, hasFuseDevice, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';
import { Lamina, type User, ended, extraProgram, makeUser, processesOf, recipe, removeUser, wrote } from './lamina.ts';

// Root, so that ordinary users can be made and become.
const missing = firstMissing(isRoot(), hasFuseDevice(), hasUserNamespaces(), has('useradd'), has('setpriv'));

const FILES: Layer = {
  title: 'files',
  entries: [
    { type: 'file', name: 'data/a', content: 'a\n' },
    { type: 'file', name: 'data/b', content: 'b\n' },
  ],
};

const CHANGE = 'echo x > /data/new; rm /data/a; mv /data/b /data/c; mkdir /own; cat /data/c';
const CHANGES = 'C /data\nD /data/a\nD /data/b\nA /data/c\nA /data/new\nA /own\n';
const START = 700_000_000;
const COUNT = 65_536;

// For what takes as long as a container's start.
const LONG = { timeout: 20_000 };

const withRange = firstMissing(missing, has('newuidmap'));

describe.skipIf(withRange)(titled('containers of an ordinary user with subordinate ids', withRange), () => {
  let user: User;
  let lamina: Lamina;

  beforeAll(async () => {
    user = makeUser('lamina-range', { start: START, count: COUNT });
    lamina = new Lamina(user);
    await lamina.load(recipe('tiny', [FILES]));
  });

  afterAll(async () => {
    await lamina.close();
    removeUser(user.name);
  });

  test('root inside is the user, and the range follows', async () => {
    const map = await lamina.output('tiny', 'sh', '-c', 'cat /proc/self/uid_map; cat /proc/self/gid_map');
    const rows = map
      .trim()
      .split('\n')
      .map((line) => line.trim().split(/\s+/).map(Number));
    const expected = [
      [0, user.uid, 1],
      [1, START, COUNT],
    ];
    expect(rows).toEqual([...expected, ...expected]);
  });

  test('files of other owners can be made, belong to subordinate ids outside, and can be removed', async () => {
    const script =
      'touch /data/mine; chown 1000:50 /data/mine; mkdir -m 700 /data/closed; touch /data/closed/x; chown -R 42 /data/closed; stat -c %u:%g /data/mine';
    const outcome = await lamina.call(['run', '--name', 'owners', 'tiny', 'sh', '-c', script]);
    expect(outcome).toEqual({ code: 0, stdout: '1000:50\n', stderr: '' });
    const [id = ''] = readdirSync(join(lamina.root, 'containers')).filter((name) => !name.startsWith('.'));
    const { uid, gid } = statSync(join(lamina.root, 'containers', id, 'upper/data/mine'));
    expect([uid, gid]).toEqual([START + 999, START + 49]);
    expect(await lamina.call(['rm', 'owners'])).toEqual({ code: 0, stdout: 'owners\n', stderr: '' });
    expect(readdirSync(join(lamina.root, 'containers')).filter((name) => !name.startsWith('.'))).toEqual([]);
  });

  test('--user becomes a mapped id with its groups', async () => {
    const { stdout } = await lamina.call([
      'run',
      '--rm',
      '--user',
      'guest',
      'tiny',
      'sh',
      '-c',
      'id; cat /proc/self/status',
    ]);
    expect(stdout).toContain('uid=1000(guest) gid=1000(guest) groups=1000(guest),50(staff)');
    expect(stdout).toMatch(/CapEff:\s+0000000000000000/);
  });

  test('changes land in the upper and diff shows them', async () => {
    expect(await lamina.call(['run', '--name', 'changes', 'tiny', 'sh', '-c', CHANGE])).toMatchObject({
      code: 0,
      stdout: 'b\n',
    });
    expect((await lamina.call(['diff', 'changes'])).stdout).toBe(CHANGES);
  });

  test('commit has a container of several users stand still, and makes an image with their files', async () => {
    const script = 'echo x > /tmp/r; chmod 666 /tmp/r; echo ready; while :; do echo x >> /tmp/r; done';
    const child = lamina.start(['run', '--name', 'busy', '--user', 'guest', 'tiny', 'sh', '-c', script]);
    const end = ended(child);
    await wrote(child, 'ready');
    const committed = await lamina.call(['commit', 'busy', 'busy:1']);
    expect(committed).toMatchObject({ code: 0, stderr: '' });
    expect(await lamina.output('busy:1', 'sh', '-c', 'ls -ln /tmp')).toMatch(/-rw-rw-rw- +1 1000 +1000 .* r\n/);
    await lamina.call(['rm', '-f', 'busy']);
    await end;
  });

  test('capabilities are docker’s, devices work, masks hold, nothing else of the host is mounted', async () => {
    const script =
      'grep() { while read l; do case $l in *$1*) echo $l;; esac; done; }; grep CapBnd < /proc/self/status; echo x > /dev/null && head -c 2 /dev/zero | wc -c; head -c 1 /proc/keys | wc -c; ls /sys/firmware | wc -l; mkdir /sys/x 2>/dev/null || echo read-only; ls /proc/1/fd | wc -l; mknod /x c 1 3 2>/dev/null || echo no devices';
    expect(await lamina.output('tiny', 'sh', '-c', script)).toMatch(
      /^CapBnd:\s+00000000a80425fb\n2\n0\n0\nread-only\n3\nno devices\n$/,
    );
  });

  test('exit codes and signals are those of the command', async () => {
    expect((await lamina.call(['run', '--rm', 'tiny', 'sh', '-c', 'exit 42'])).code).toBe(42);
    expect((await lamina.call(['run', '--rm', 'tiny', 'missing'])).code).toBe(127);
    expect((await lamina.call(['run', '--bogus'])).code).toBe(125);
    const child = lamina.start([
      'run',
      '--rm',
      'tiny',
      'sh',
      '-c',
      "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done",
    ]);
    await wrote(child, 'ready');
    child.kill('SIGTERM');
    expect((await ended(child)).code).toBe(9);
  });

  test('rm -f ends a running container of another namespace; a killed client’s is dead and removable', async () => {
    const first = lamina.start(['run', '--name', 'first', 'tiny', 'sh', '-c', 'echo ready; exec sleep 5432']);
    const firstEnd = ended(first);
    await wrote(first, 'ready');
    expect((await lamina.call(['rm', '-f', 'first'])).code).toBe(0);
    expect((await firstEnd).code).toBe(137);
    const second = lamina.start([
      'run',
      '--name',
      'second',
      '--user',
      'guest',
      'tiny',
      'sh',
      '-c',
      'echo ready; exec sleep 5432',
    ]);
    const secondEnd = ended(second);
    await wrote(second, 'ready');
    second.kill('SIGKILL');
    await secondEnd;
    await expect.poll(() => execFileSync('ps', ['-eo', 'args'], { encoding: 'utf8' })).not.toContain('sleep 5432');
    expect((await lamina.call(['ps', '-a'])).stdout).toMatch(/Dead +second/);
    expect((await lamina.call(['rm', 'second'])).code).toBe(0);
  });

  const noLdd = has('ldd');

  test.skipIf(noLdd)(titled('rm -f kills an orphan of a mapped id, and says so where it may not', noLdd), async () => {
    await lamina.load(recipe('escaping', [extraProgram('setpriv')]));
    const args = ['--user', 'guest', 'escaping', 'sh', '-c', 'exec setpriv --pdeathsig clear sleep 8765'];
    const child = lamina.start(['run', '--name', 'lasting', ...args]);
    const end = ended(child);
    await expect.poll(async () => (await lamina.call(['ps'])).stdout, LONG).toMatch(/Up .* lasting/);
    await expect.poll(() => processesOf('sleep 8765'), LONG).toHaveLength(1);
    const [id] = (await lamina.call(['ps', '-q', '--no-trunc'])).stdout.split('\n');
    const statePath = join(lamina.root, 'containers', id ?? '', 'state.json');
    const state = JSON.parse(readFileSync(statePath, 'utf8')) as ContainerState;
    process.kill(state.supervisor?.pid ?? 0, 'SIGKILL');
    await end;
    expect((await lamina.call(['ps'])).stdout).toMatch(/Up .* \(orphaned\) +lasting/);
    // This process, which is root's and none of the user's.
    writeFileSync(statePath, JSON.stringify({ ...state, init: identify(process.pid) }));
    const refused = await lamina.call(['rm', '-f', 'lasting']);
    expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('EPERM') as string });
    writeFileSync(statePath, JSON.stringify(state));
    expect(await lamina.call(['rm', '-f', 'lasting'])).toMatchObject({ code: 0 });
    expect(processesOf('sleep 8765')).toEqual([]);
  });

  test('nobody else may enter the store', () => {
    expect(statSync(lamina.root).mode & 0o777).toBe(0o700);
  });
});

const RECORD = 'user.containers.override_stat';
const withoutAttr = firstMissing(missing, has('setfattr'), has('getfattr'));

describe.skipIf(withoutAttr)(titled('containers of an ordinary user with a single id', withoutAttr), () => {
  const NOTE =
    /^lamina: no subordinate ids for lamina-single in \/etc\/subuid: running with a single id, so all files show as root's, and --user does not work; as root: usermod --add-subuids (\d+-\d+) --add-subgids \1 lamina-single\n$/;
  let user: User;
  let lamina: Lamina;

  beforeAll(async () => {
    user = makeUser('lamina-single');
    lamina = new Lamina(user);
    await lamina.load(recipe('tiny', [FILES]));
  });

  afterAll(async () => {
    await lamina.close();
    removeUser(user.name);
  });

  test('a run says so in one line and works', async () => {
    const outcome = await lamina.call(['run', '--name', 'changes', 'tiny', 'sh', '-c', CHANGE]);
    expect(outcome).toEqual({ code: 0, stdout: 'b\n', stderr: expect.stringMatching(NOTE) as string });
    expect(await lamina.call(['diff', 'changes'])).toEqual({ code: 0, stdout: CHANGES, stderr: '' });
    expect(await lamina.call(['rm', 'changes'])).toEqual({ code: 0, stdout: 'changes\n', stderr: '' });
  });

  test('only the user is mapped, as root', async () => {
    const map = await lamina.output('tiny', 'cat', '/proc/self/uid_map');
    expect(map.trim().split(/\s+/).map(Number)).toEqual([0, user.uid, 1]);
  });

  test('owners, modes and devices that the image has are kept, also where the container changes the file', async () => {
    const layers = join(lamina.root, 'layers');
    const layer = readdirSync(layers)
      .map((name) => join(layers, name))
      .find((path) => existsSync(join(path, 'data')));
    if (layer === undefined) throw new Error('no layer has the files');
    // As a layer with such owners is unpacked here.
    writeFileSync(join(layer, 'data/device'), '', { mode: 0o600 });
    chownSync(join(layer, 'data/device'), user.uid, user.uid);
    const record = (path: string, value: string) =>
      execFileSync('setfattr', ['-n', RECORD, '-v', value, join(layer, path)]);
    record('.', '0:0:0755');
    record('data/a', '1000:50:2755');
    record('data/device', '0:5:0620:char-1-3');
    const script =
      'chmod 640 /data/a; chown 0:0 /data/b; chmod 4711 /data/b; mv /data/device /data/d; mkfifo -m 600 /data/f; stat -c "%n %F %a %u:%g" /data/*';
    const outcome = await lamina.call(['run', '--name', 'kept', 'tiny', 'sh', '-c', script]);
    expect(outcome.stdout.split('\n').slice(0, -1)).toEqual([
      '/data/a regular file 640 0:0',
      '/data/b regular file 4711 0:0',
      '/data/d character special file 620 0:0',
      '/data/f fifo 600 0:0',
    ]);
    const [id = ''] = readdirSync(join(lamina.root, 'containers')).filter((name) => !name.startsWith('.'));
    const kept = (name: string) =>
      execFileSync(
        'getfattr',
        ['--only-values', '-n', RECORD, join(lamina.root, 'containers', id, 'upper/data', name)],
        {
          encoding: 'latin1',
        },
      );
    expect(['a', 'b', 'd', 'f'].map(kept)).toEqual([
      '1000:50:0640:file',
      '0:0:4711:file',
      '0:5:0620:char-1-3',
      '0:0:0600:pipe',
    ]);
    expect((await lamina.call(['diff', 'kept'])).stdout).toBe(
      'C /data\nC /data/a\nC /data/b\nA /data/d\nD /data/device\nA /data/f\n',
    );
    expect((await lamina.call(['rm', 'kept'])).code).toBe(0);
  });

  test('--user of another id is refused as what cannot be invoked', async () => {
    const outcome = await lamina.call(['run', '--rm', '--user', '1234', 'tiny', 'true']);
    expect(outcome.code).toBe(126);
    expect(outcome.stderr).toContain('does not map it');
  });

  test('a closed /dev/fuse is told with its cure', async () => {
    const environment = { ...process.env, HOME: `/home/${user.name}`, LAMINA_ROOT: lamina.root };
    const close =
      'mount -t tmpfs none /mnt && mknod -m 600 /mnt/fuse c 10 229 && mount --bind /mnt/fuse /dev/fuse && exec "$@"';
    const become = ['setpriv', `--reuid=${user.name}`, `--regid=${user.uid}`, '--init-groups'];
    const command = [process.execPath, join(DIST, 'cli/lamina.js'), 'run', '--rm', 'tiny', 'true'];
    const child = spawn('unshare', ['--mount', 'sh', '-c', close, 'sh', ...become, ...command], {
      cwd: '/',
      env: environment,
    });
    const outcome = await ended(child);
    expect(outcome.code).toBe(125);
    expect(outcome.stderr).toMatch(/\/dev\/fuse.*chmod 0666 \/dev\/fuse/);
  });
});

const noNamespaces = firstMissing(isRoot(), hasUserNamespaces(), has('setpriv'));

describe.skipIf(noNamespaces)(titled('where no user namespace can be made', noNamespaces), () => {
  test('the message says what to do, and the exit code is 125', async () => {
    // A root without capabilities, in a namespace that may hold no other.
    const script = 'echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --bounding-set=-all "$@"';
    const command = [process.execPath, join(DIST, 'cli/lamina.js'), 'run', '--rm', 'any', 'true'];
    const child = spawn('unshare', ['--user', '--map-root-user', 'sh', '-c', script, 'sh', ...command], { cwd: '/' });
    const { code, stderr } = await ended(child);
    expect(code).toBe(125);
    expect(stderr.trim().split('\n').at(-1)).toMatch(
      /needs a user namespace.*No space left on device.*sysctl -w user.max_user_namespaces/,
    );
  });
});
