import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseUserNamespace } from '../../runner/container/options/user-namespace.ts';
import { allot } from '../../runner/container/user-namespace/allot.ts';
import { inRanges, keptMapping } from '../../runner/container/user-namespace/id-mappings.ts';
import { buildArchive } from '../../runner/demo/image.ts';
import { firstMissing, has, hasFuseDevice, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';
import { Lamina, type User, makeUser, recipe, removeUser } from './lamina.ts';
import { Tmux, quoted } from './tmux.ts';

const START = 730_000_000;
const COUNT = 65_536;
const IMAGE = 'localhost/users';

const needsUsers = firstMissing(
  ...[isRoot(), hasFuseDevice(), hasUserNamespaces()],
  ...['useradd', 'setpriv', 'newuidmap', 'unshare', 'nsenter'].map(has),
);

const noTmux = has('tmux');

const WHO = 'id; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups; tail -n 2 /etc/passwd /etc/group; pwd';
const CAPABILITIES =
  'while read a b; do case $a in Cap*|Groups:) echo $a $b;; esac; done </proc/self/status; stat -c "%u:%g %n" / /bin /etc/hosts /dev/null /dev/shm /proc';

describe.skipIf(needsUsers)(titled('containers of an ordinary user with users of their own', needsUsers), () => {
  let user: User;
  let lamina: Lamina;
  let directory: string;

  beforeAll(async () => {
    user = makeUser('lamina-users', { start: START, count: COUNT });
    lamina = new Lamina(user);
    await lamina.load(recipe(IMAGE));
    directory = mkdtempSync(join(tmpdir(), 'lamina-users-'));
    chmodSync(directory, 0o755);
    mkdirSync(join(directory, 'home'));
    writeFileSync(join(directory, 'home/file'), 'x\n');
    for (const path of ['home', 'home/file']) chownSync(join(directory, path), user.uid, user.uid);
  });

  afterAll(async () => {
    await lamina.close();
    rmSync(directory, { recursive: true, force: true });
    removeUser(user.name);
  });

  const run = (...args: string[]) => lamina.call(['run', '--rm', '--network', 'none', ...args]);

  test.skipIf(noTmux)(
    titled('keep-id: with -t the command has a terminal, of a session that it leads', noTmux),
    async () => {
      const tmux = new Tmux(lamina.environment);
      try {
        const script = 'read line </dev/tty && id -un && read a b c d e f rest </proc/self/stat && echo session $f';
        const args = ['run', '--rm', '-it', '--network', 'none', '--userns', 'keep-id', IMAGE, 'sh', '-c', script];
        tmux.type(`${lamina.commandLine(args).map(quoted).join(' ')}; echo code $?`);
        await expect.poll(async () => (await lamina.call(['ps', '-q'])).stdout).not.toBe('');
        tmux.type('go on');
        await tmux.shows(`${user.name}\nsession 1\ncode 0`);
      } finally {
        tmux.close();
      }
    },
  );

  test('keep-id: the caller is himself in there, the image’s files are root’s, and all owners can be given', async () => {
    const { uid, name } = user;
    const bind = `${join(directory, 'home')}:/home/${name}`;
    const script = `touch /tmp/mine /named/x /home/${name}/new; stat -c %u:%g /tmp/mine /named /home/${name}/file /bin/sh; echo $HOME; sleep 600`;
    const options = ['--userns', 'keep-id', '--network', 'none', '-v', bind, '-v', 'fresh:/named'];
    const started = await lamina.call(['run', '-d', '--name', 'kept', ...options, IMAGE, 'sh', '-c', script]);
    expect(started).toMatchObject({ code: 0, stderr: '' });
    await expect.poll(async () => (await lamina.call(['logs', 'kept'])).stdout).toContain('/home');
    const own = `${uid}:${uid}`;
    expect((await lamina.call(['logs', 'kept'])).stdout).toBe(`${own}\n${own}\n${own}\n0:0\n/home/${name}\n`);
    expect(statSync(join(directory, 'home/new')).uid).toBe(uid);
    writeFileSync(join(directory, 'copied'), 'y\n');
    expect((await lamina.call(['cp', join(directory, 'copied'), 'kept:/srv/copied'])).code).toBe(0);
    const asRoot = `touch /srv/other; chown 33:44 /srv/other; stat -c %u:%g /srv/other /srv/copied; id -u; cat /proc/1/uid_map`;
    const map = `         0          1 ${String(uid).padStart(10)}\n${String(uid).padStart(10)}          0          1\n`;
    const added = await lamina.call(['exec', '-u', '0', 'kept', 'sh', '-c', asRoot]);
    expect(added).toMatchObject({ code: 0, stdout: expect.stringContaining(`33:44\n0:0\n0\n${map}`) as string });
    expect((await lamina.call(['exec', 'kept', 'id', '-un'])).stdout).toBe(`${name}\n`);
    const archive = (await lamina.call(['cp', 'kept:/srv/other', '-'])).stdout;
    expect(archive).toContain('0000041\0' + '0000054\0');
    expect((await lamina.call(['diff', 'kept'])).stdout).toContain('A /srv/other\n');
    const shared = await run(
      '--userns',
      'container:kept',
      '--pid',
      'container:kept',
      IMAGE,
      'sh',
      '-c',
      'cat /proc/1/uid_map; id -u',
    );
    expect(shared.stdout).toContain(map);
    const [inspected] = JSON.parse((await lamina.call(['inspect', 'kept'])).stdout) as [{ HostConfig: object }];
    const words = ['0:1:' + String(uid), `${uid}:0:1`, `${uid + 1}:${uid + 1}:${COUNT - uid}`];
    expect(inspected.HostConfig).toMatchObject({
      UsernsMode: 'keep-id',
      IDMappings: { UidMap: words, GidMap: words },
    });
    // What it made is what it will find, and an image of it has the same owners.
    expect((await lamina.call(['commit', 'kept', 'kept:1'])).code).toBe(0);
    expect((await lamina.call(['restart', '-t', '0', 'kept'])).code).toBe(0);
    const kept = ['stat', '-c', '%u:%g', '/srv/other', '/tmp/mine'];
    expect((await lamina.call(['exec', 'kept', ...kept])).stdout).toBe(`33:44\n${own}\n`);
    expect((await run('kept:1', ...kept)).stdout).toBe(`33:44\n${own}\n`);
    expect((await lamina.call(['rm', '-f', 'kept'])).code).toBe(0);
  });

  test('nomap, auto and --uidmap: who is mapped, what is nobody’s, and how a command ends', async () => {
    const script =
      'cat /proc/self/uid_map; stat -c %u:%g /data /bin; echo out >/dev/stdout; touch /new && chown 7:8 /new && stat -c %u:%g /new; exit 7';
    const bind = `${join(directory, 'home')}:/data`;
    const outcome = await run('--userns', 'nomap', '-v', bind, IMAGE, 'sh', '-c', script);
    expect(outcome).toEqual({
      code: 7,
      stdout: `         0          1 ${String(COUNT).padStart(10)}\n65534:65534\n0:0\nout\n7:8\n`,
      stderr: '',
    });
    const auto = await run('--userns', 'auto:size=3000,uidmapping=5:0:1', IMAGE, 'cat', '/proc/self/uid_map');
    expect(auto.stdout.trim().split(/\s+/).map(Number)).toEqual([0, 1, 5, 6, 6, 2994, 5, 0, 1]);
    const given = await run('--uidmap', '0:7:100', '--gidmap', '0:8:100', IMAGE, 'sh', '-c', 'cat /proc/self/?id_map');
    expect(given.stdout.trim().split(/\s+/).map(Number)).toEqual([0, 8, 100, 0, 7, 100]);
    const refused = await run('--userns', 'auto:size=70000', IMAGE, 'true');
    expect(refused).toEqual({
      code: 125,
      stdout: '',
      stderr: 'lamina: --userns auto: the range of subordinate ids has no 70000 users that are free\n',
    });
  });

  const noPodman = firstMissing(has('podman'), has('runc'));

  test.skipIf(noPodman)(titled('keep-id is podman’s', noPodman), async () => {
    const podman = new RootlessPodman(user, directory);
    await podman.load();
    try {
      for (const options of [
        [],
        ['-u', '77:88'],
        ['--userns', 'keep-id:uid=200,gid=210', '--privileged', '-w', '/srv'],
      ]) {
        const args = ['--userns', 'keep-id', ...options, IMAGE, 'sh', '-c', `${WHO}; ${CAPABILITIES}`];
        const [ours, theirs] = [(await run(...args)).stdout, podman.run(...args)];
        expect(normal(ours)).toBe(normal(theirs));
      }
    } finally {
      podman.close();
    }
  });
});

/** Podman's runtime lists the main group among the others, and has "*" for a password. */
function normal(text: string): string {
  return text.replace(/^Groups:.*$/gm, '').replaceAll(':*:', ':x:');
}

/** podman of an ordinary user, with a store that needs no mounts. */
class RootlessPodman {
  readonly #base: string;
  readonly #user: User;

  constructor(user: User, parent: string) {
    this.#user = user;
    this.#base = join(parent, 'podman');
    for (const path of ['', 'graph', 'run', 'xdg']) {
      mkdirSync(join(this.#base, path), { mode: 0o700 });
      chownSync(join(this.#base, path), user.uid, user.uid);
    }
    const at = (name: string) => join(this.#base, name);
    writeFileSync(
      at('storage.conf'),
      `[storage]\ndriver = "vfs"\ngraphroot = "${at('graph')}"\nrunroot = "${at('run')}"\n`,
    );
    writeFileSync(
      at('containers.conf'),
      '[containers]\ndefault_ulimits = []\nnetns = "none"\n[engine]\nruntime = "runc"\nevents_logger = "file"\ncgroup_manager = "cgroupfs"\n',
    );
  }

  #call(args: readonly string[]): { readonly stdout: string; readonly stderr: string; readonly status: number | null } {
    const { name, uid } = this.#user;
    const env = {
      ...{ PATH: process.env['PATH'], HOME: `/home/${name}`, USER: name, XDG_RUNTIME_DIR: join(this.#base, 'xdg') },
      ...{ CONTAINERS_STORAGE_CONF: join(this.#base, 'storage.conf') },
      ...{ CONTAINERS_CONF: join(this.#base, 'containers.conf') },
    };
    const become = [`--reuid=${name}`, `--regid=${uid}`, '--init-groups', 'podman'];
    return spawnSync('setpriv', [...become, ...args], { cwd: '/', env, encoding: 'utf8' });
  }

  async load(): Promise<void> {
    const archive = join(this.#base, 'image.tar');
    writeFileSync(archive, await buildArchive(await recipe(IMAGE)), { mode: 0o644 });
    const { status, stderr } = this.#call(['load', '-i', archive]);
    if (status !== 0) throw new Error(`podman load: ${stderr}`);
  }

  run(...args: readonly string[]): string {
    const { stdout, stderr } = this.#call(['run', '--rm', ...args]);
    return stdout === '' ? stderr : stdout;
  }

  close(): void {
    this.#call(['unshare', 'rm', '-rf', join(this.#base, 'graph')]);
    // Ends the process that keeps its user namespace.
    this.#call(['system', 'migrate']);
  }
}

const needsRoot = firstMissing(isRoot(), hasFuseDevice(), ...['setpriv', 'unshare', 'nsenter'].map(has));

describe.skipIf(needsRoot)(titled('containers of root with users of their own', needsRoot), () => {
  let lamina: Lamina;

  beforeAll(async () => {
    lamina = new Lamina();
    await lamina.load(recipe(IMAGE));
  });

  afterAll(() => lamina.close());

  test('root inside is nobody outside, on disk are the owners that it sees, and exec is in its clocks, too', async () => {
    const options = ['--network', 'none', '--uidmap', '0:1900000000:2000', '--time-offset', 'boottime=900000000'];
    const script =
      'echo x >/made; chown 33:44 /made; stat -c %u:%g / /made /etc/hosts; echo ready >/dev/stderr; sleep 600';
    expect((await lamina.call(['run', '-d', '--name', 'apart', ...options, IMAGE, 'sh', '-c', script])).code).toBe(0);
    await expect.poll(async () => (await lamina.call(['logs', 'apart'])).stderr).toBe('ready\n');
    expect((await lamina.call(['logs', 'apart'])).stdout).toBe('0:0\n33:44\n0:0\n');
    const [id = ''] = readdirSync(join(lamina.root, 'containers')).filter((name) => /^[0-9a-f]{64}$/.test(name));
    const { uid, gid } = statSync(join(lamina.root, 'containers', id, 'upper/made'));
    expect([uid, gid]).toEqual([33, 44]);
    const pid = (await lamina.call(['inspect', '-f', '{{.State.Pid}}', 'apart'])).stdout.trim();
    expect(execFileSync('stat', ['-c', '%u', `/proc/${pid}`], { encoding: 'utf8' })).toBe('1900000000\n');
    const added = await lamina.call(['exec', 'apart', 'sh', '-c', 'cat /proc/uptime /proc/self/uid_map; id -u']);
    const [uptime = '', map, own] = added.stdout.split('\n');
    expect(Number(uptime.split(' ')[0])).toBeGreaterThan(900_000_000);
    expect([map, own]).toEqual(['         0 1900000000       2000', '0']);
    expect(await lamina.call(['diff', 'apart'])).toMatchObject({ stdout: 'A /made\n' });
    // Who serves its files is killed: nothing of it is left.
    const launcher = execFileSync('ps', ['-o', 'ppid=', '-p', pid], { encoding: 'utf8' }).trim();
    const supervisor = execFileSync('ps', ['-o', 'ppid=', '-p', launcher], { encoding: 'utf8' }).trim();
    process.kill(Number(supervisor), 'SIGKILL');
    const living = () => spawnSync('ps', ['-o', 'stat=', '-p', `${pid},${launcher}`], { encoding: 'utf8' }).stdout;
    await expect
      .poll(() =>
        living()
          .split('\n')
          .filter((state) => state !== '' && !state.startsWith('Z')),
      )
      .toEqual([]);
    expect((await lamina.call(['rm', 'apart'])).code).toBe(0);
  });

  test('keep-id and nomap are for others, and the drivers that show owners as they are take no --userns', async () => {
    const refused = (text: string) => ({ code: 125, stderr: expect.stringContaining(text) as string });
    expect(await lamina.call(['run', '--userns', 'keep-id', IMAGE, 'true'])).toMatchObject(refused('ordinary users'));
    const copied = ['run', '--driver', 'vfs', '--uidmap', '0:1900000000:2000', IMAGE, 'true'];
    expect(await lamina.call(copied)).toMatchObject(refused('--driver union'));
  });
});

describe('--userns', () => {
  const caller = () => ({ uid: 1000, gid: 1000, isRootless: false });

  test('what it says is checked', () => {
    const parse = (userns: string) => parseUserNamespace({ userns }, caller);
    expect(parse('host')).toBeUndefined();
    expect(parse('auto:size=5,uidmapping=0:7')).toEqual({
      mode: 'auto:size=5,uidmapping=0:7',
      auto: { size: 5, users: [{ inside: 0, outside: 7, count: 1 }], groups: [] },
    });
    for (const bad of [
      'private',
      'ns:/proc/self/ns/user',
      'container:',
      'nomap:x',
      'auto:x=1',
      'auto:size=0',
      'other',
    ]) {
      expect(() => parse(bad)).toThrow('--userns');
    }
    const maps = (...uidmap: string[]) => parseUserNamespace({ uidmap }, caller);
    expect(maps('0:10:5', '5:0')?.mappings?.groups).toEqual([
      { inside: 0, outside: 10, count: 5 },
      { inside: 5, outside: 0, count: 1 },
    ]);
    for (const bad of ['0:1:0', '1', '0:1:5000000000', '1:0:1']) expect(() => maps(bad)).toThrow('--uidmap');
    expect(() => maps('0:10:5', '4:20:1')).toThrow('overlap');
  });

  test('auto takes the first place that is free and large enough', () => {
    const available = [{ start: 1000, count: 10 }];
    const taken = [{ start: 1002, count: 3 }];
    expect(allot(3, [], available, taken)).toEqual([{ inside: 0, outside: 1005, count: 3 }]);
    expect(allot(2, [], available, taken)).toEqual([{ inside: 0, outside: 1000, count: 2 }]);
    expect(allot(6, [], available, taken)).toBeUndefined();
    expect(allot(4, [{ inside: 1, outside: 0, count: 1 }], available, taken)).toEqual([
      { inside: 0, outside: 1005, count: 1 },
      { inside: 2, outside: 1006, count: 2 },
      { inside: 1, outside: 0, count: 1 },
    ]);
  });
});

test('inRanges cuts mappings where a range of the namespace outside ends', () => {
  const ranges = [[0, 1] as const, [1, 1500] as const, [1501, 500] as const];
  expect(inRanges(keptMapping(1000, 2001), ranges)).toEqual([
    { inside: 0, outside: 1, count: 1000 },
    { inside: 1000, outside: 0, count: 1 },
    { inside: 1001, outside: 1001, count: 500 },
    { inside: 1501, outside: 1501, count: 500 },
  ]);
  expect(inRanges([{ inside: 0, outside: 1990, count: 20 }], ranges)).toEqual([
    { inside: 0, outside: 1990, count: 20 },
  ]);
});
