import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Layer } from '../../runner/demo/image.ts';
import { firstMissing, has, hasFuseDevice, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';
import { Lamina, type User, ended, makeUser, processesOf, recipe, removeUser, wrote } from './lamina.ts';

const missing = firstMissing(isRoot(), hasFuseDevice());
const LONG = { timeout: 20_000 };

const FILES: Layer = {
  title: 'files',
  entries: [
    { type: 'file', name: 'bin/self', content: '#!/proc/self/exe\n', mode: 0o755 },
    { type: 'symlink', name: 'out', target: '../../../../../../../etc' },
    { type: 'directory', name: 'data', mode: 0o777 },
  ],
};

const containing = (text: string): string => expect.stringContaining(text) as string;

describe.skipIf(missing)(titled('exec', missing), () => {
  let lamina: Lamina;
  let directory: string;

  beforeAll(async () => {
    directory = mkdtempSync(join(tmpdir(), 'lamina-exec-'));
    lamina = new Lamina();
    await lamina.load(recipe('tiny', [FILES]));
    const options = [
      '--cap-drop',
      'CHOWN',
      '--ulimit',
      'core=123',
      '-e',
      'KEPT=1',
      '-w',
      '/srv',
      '-m',
      '512m',
      '--network',
      'none',
    ];
    const { code, stderr } = await lamina.call(['run', '-d', '--name', 'c', ...options, 'tiny', 'sleep', '1000']);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  });

  afterAll(async () => {
    await lamina.close();
    rmSync(directory, { recursive: true, force: true });
  });

  const exec = (...args: string[]) => lamina.call(['exec', ...args]);
  /** Lines of a shell script's output in the container. */
  async function lines(script: string, ...options: string[]): Promise<string[]> {
    const { code, stdout, stderr } = await exec(...options, 'c', 'sh', '-c', script);
    if (code !== 0) throw new Error(`exit code ${code}: ${stderr}`);
    return stdout.trimEnd().split('\n');
  }

  test('output, errors and exit codes are the command’s; what cannot be run is 126, what is not there 127', async () => {
    expect(await exec('c', 'sh', '-c', 'echo out; echo err >&2; exit 42')).toEqual({
      code: 42,
      stdout: 'out\n',
      stderr: 'err\n',
    });
    expect((await exec('c', 'sh', '-c', 'kill -9 $$')).code).toBe(137);
    expect(await exec('c', 'missing')).toMatchObject({ code: 127, stderr: containing('not found') });
    expect(await exec('c', '/etc/passwd')).toMatchObject({ code: 126, stderr: containing('permission denied') });
    expect(await exec('-d', 'c', 'missing')).toMatchObject({ code: 127, stderr: containing('not found') });
    expect((await exec('--bogus', 'c', 'true')).code).toBe(125);
    expect(await exec('nobody', 'true')).toMatchObject({ code: 1, stderr: containing('no container') });
    expect((await exec('c')).code).toBe(125);
  });

  test('-i passes standard input to its end, without it the command reads end of file', async () => {
    const input = 'x'.repeat(1_000_000);
    expect((await lamina.call(['exec', '-i', 'c', 'wc', '-c'], { input })).stdout).toBe('1000000\n');
    expect((await lamina.call(['exec', 'c', 'wc', '-c'], { input })).stdout).toBe('0\n');
    expect((await exec('c', 'head', '-c', '3000000', '/dev/zero')).stdout).toHaveLength(3_000_000);
  });

  test('it gets the container’s namespaces, control groups, capabilities, filter, limits, environment and directory', async () => {
    const script =
      'for n in mnt pid net ipc uts cgroup; do readlink /proc/$1/ns/$n; done; cat /proc/$1/cgroup; ' +
      'while read l; do case $l in Cap*|Seccomp*|NoNewPrivs*|Groups*|Uid*) echo $l;; esac; done </proc/$1/status; ' +
      'cat /proc/$1/limits /proc/$1/oom_score_adj; readlink /proc/$1/cwd /proc/$1/root';
    const [own, first] = [await lines(`set self; ${script}`), await lines(`set 1; ${script}`)];
    expect(own).toEqual(first);
    expect(own.some((line) => /^Max core file size\s+123\s+123/.test(line))).toBe(true);
    expect(await lines('echo $KEPT $HOME $TERM; pwd; ls /proc/self/fd | wc -l')).toEqual(['1 /root', '/srv', '4']);
  });

  test('-e, --env-file, -w and -u; accounts are the container’s own', async () => {
    const file = join(directory, 'env');
    writeFileSync(file, '# comment\nFILE=f\nBOTH=file\n');
    const options = ['--env-file', file, '-e', 'BOTH=flag', '-e', 'KEPT=2', '-w', '/data', '-u', 'guest'];
    expect(await lines('echo $FILE $BOTH $KEPT $HOME; pwd; id', ...options)).toEqual([
      'f flag 2 /srv',
      '/data',
      'uid=1000(guest) gid=1000(guest) groups=1000(guest),50(staff)',
    ]);
    expect(await lines('id -u; id -g', '-u', '4321:50')).toEqual(['4321', '50']);
    expect((await exec('-u', 'nobody-there', 'c', 'true')).code).toBe(126);
    expect((await exec('-w', '/missing', 'c', 'true')).code).toBe(126);
    expect((await exec('-w', 'relative', 'c', 'true')).code).toBe(125);
  });

  test('--privileged gives all capabilities to that process alone', async () => {
    const bounds = 'while read l; do case $l in CapBnd*|CapEff*) echo ${l##*0}; esac; done </proc/self/status';
    const [ordinary] = await lines(bounds);
    const privileged = await lines(bounds, '--privileged');
    expect(new Set(privileged).size).toBe(1);
    expect(privileged[0]).not.toBe(ordinary);
    expect(await lines('chown 1 /data && echo chowned', '--privileged')).toEqual(['chowned']);
    expect((await exec('c', 'chown', '2', '/data')).code).not.toBe(0);
  });

  test('-d returns when the command runs, which goes on and ends with the container', async () => {
    expect(await exec('-d', 'c', 'sleep', '2222')).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(processesOf('sleep 2222')).toHaveLength(1);
    const stats = await lamina.call([
      'run',
      '-d',
      '--rm',
      '--network',
      'none',
      '--name',
      'short',
      'tiny',
      'sleep',
      '1000',
    ]);
    expect(stats.code).toBe(0);
    expect((await exec('-d', 'short', 'sleep', '3333')).code).toBe(0);
    const attached = lamina.start(['exec', 'short', 'sh', '-c', 'echo ready; sleep 4444']);
    const end = ended(attached);
    await wrote(attached, 'ready');
    expect((await lamina.call(['kill', 'short'])).code).toBe(0);
    expect((await end).code).toBe(137);
    await expect.poll(() => processesOf('sleep 3333'), LONG).toEqual([]);
    expect((await exec('short', 'true')).code).toBe(1);
  });

  test('in a shared pid namespace, too, what was added ends with the container', async () => {
    const options = ['--rm', '--network', 'none', '--pid', 'host', '--name', 'sharing'];
    expect((await lamina.call(['run', '-d', ...options, 'tiny', 'sleep', '1000'])).code).toBe(0);
    expect((await exec('-d', 'sharing', 'sleep', '8888')).code).toBe(0);
    expect(processesOf('sleep 8888')).toHaveLength(1);
    expect((await lamina.call(['kill', 'sharing'])).code).toBe(0);
    await expect.poll(() => processesOf('sleep 8888'), LONG).toEqual([]);
    await expect.poll(async () => (await lamina.call(['ps', '-a'])).stdout, LONG).not.toContain('sharing');
  });

  test('a container that does not run, or is paused, is refused', async () => {
    expect((await lamina.call(['run', '--network', 'none', '--name', 'over', 'tiny', 'true'])).code).toBe(0);
    expect(await exec('over', 'true')).toMatchObject({ code: 1, stderr: containing('container over is not running') });
    const paused = await lamina.call(['pause', 'c']);
    if (paused.code !== 0) expect(paused.stderr).toContain('cannot be paused');
    else expect(await exec('c', 'true')).toMatchObject({ code: 1, stderr: containing('paused') });
    await lamina.call(['unpause', 'c']);
  });

  test('a foreground run can be added to, and what a killed client ran with -i reads end of file', async () => {
    const child = lamina.start([
      'run',
      '--rm',
      '--network',
      'none',
      '--name',
      'front',
      'tiny',
      'sh',
      '-c',
      'echo ready; exec sleep 1000',
    ]);
    const end = ended(child);
    await wrote(child, 'ready');
    expect((await exec('front', 'echo', 'added')).stdout).toBe('added\n');
    const client = lamina.start([
      'exec',
      '-i',
      'front',
      'sh',
      '-c',
      'echo here; cat; echo over > /data/over; sleep 5555',
    ]);
    const gone = ended(client);
    await wrote(client, 'here');
    client.kill('SIGKILL');
    await gone;
    await expect.poll(async () => (await exec('front', 'cat', '/data/over')).stdout, LONG).toBe('over\n');
    expect((await lamina.call(['rm', '-f', 'front'])).code).toBe(0);
    expect((await end).code).toBe(137);
  });

  test('what is left running does not keep the client', async () => {
    const outcome = await exec('c', 'sh', '-c', 'sleep 6666 & echo done');
    expect(outcome).toMatchObject({ code: 0, stdout: 'done\n' });
    expect(processesOf('sleep 6666')).toHaveLength(1);
  });

  test('a working directory that leads out by a descriptor or a symlink stays inside', async () => {
    for (const fd of [3, 6, 7, 8]) {
      const { code } = await exec('-w', `/proc/self/fd/${fd}`, 'c', 'pwd');
      if (code !== 126) expect.fail(`/proc/self/fd/${fd} was entered`);
    }
    expect((await exec('-w', '/proc/1/cwd', 'c', 'pwd')).code).toBe(126);
    expect((await exec('-w', '/out', 'c', 'ls')).stdout).toContain('hostname');
    expect((await exec('-w', '/out', 'c', 'ls')).stdout).not.toContain('apt');
  });

  test('a hostile container learns and changes nothing of what is added to it', async () => {
    const hash = (): string => createHash('sha256').update(readFileSync(process.execPath)).digest('hex');
    const before = hash();
    const { mtimeMs } = statSync(process.execPath);
    const watch =
      'while :; do for p in /proc/[0-9]*; do case $p in /proc/1|/proc/$$) continue;; esac; ' +
      '{ readlink $p/exe $p/root $p/cwd $p/fd/*; cat $p/environ $p/maps; : 2>/dev/null >>$p/exe && echo WRITTEN; ' +
      ': 2>/dev/null >>$p/mem && echo MEMORY; } 2>/dev/null; done; done >/data/seen';
    expect((await exec('-d', 'c', 'sh', '-c', watch)).code).toBe(0);
    for (const command of [['/bin/self'], ['true'], ['true'], ['/bin/self', 'x']]) await exec('c', ...command);
    const seen = await lines(
      'while read l; do case $l in *node*|*koffi*|*stage*|*WRITTEN*) echo $l;; esac; done </data/seen; echo end',
    );
    expect(seen).toEqual(['end']);
    expect(hash()).toBe(before);
    expect(statSync(process.execPath).mtimeMs).toBe(mtimeMs);
  });

  test('top shows what was added, by any options of ps', async () => {
    const { stdout } = await lamina.call(['top', 'c', '-o', 'pid,args']);
    expect(stdout).toMatch(/^PID +COMMAND\n(\d+ +.*\n)*\d+ +sleep 2222\n/);
    expect((await lamina.call(['top', 'c'])).stdout.split('\n')[0]).toMatch(
      /^UID +PID +PPID +C +STIME +TTY +TIME +CMD$/,
    );
    expect((await lamina.call(['top', 'over'])).code).toBe(1);
    expect(await lamina.call(['top', 'c', '-o', 'args'])).toMatchObject({ code: 1, stderr: containing('PID') });
  });

  test('the supervisor keeps no descriptor of what has ended', async () => {
    const state = readdirSync(join(lamina.root, 'containers')).flatMap((id) => {
      if (id.startsWith('.')) return [];
      const text = readFileSync(join(lamina.root, 'containers', id, 'state.json'), 'utf8');
      return [JSON.parse(text) as { status: string; supervisor?: { pid: number } }];
    });
    const pid = state.find(({ status }) => status === 'running')?.supervisor?.pid ?? 0;
    const count = (): number => readdirSync(`/proc/${pid}/fd`).length;
    await exec('c', 'true');
    const before = count();
    for (let i = 0; i < 3; i += 1) await exec('c', 'true');
    await exec('-t', 'c', 'true');
    await expect.poll(count, LONG).toBeLessThanOrEqual(before);
  });
});

const rootless = firstMissing(missing, hasUserNamespaces(), has('newuidmap'), has('setpriv'));

describe.skipIf(rootless)(titled('exec by an ordinary user', rootless), () => {
  let user: User;
  let lamina: Lamina;

  beforeAll(async () => {
    user = makeUser('lamina-exec', { start: 710_000_000, count: 65_536 });
    lamina = new Lamina(user);
    await lamina.load(recipe('tiny', [FILES]));
  });

  afterAll(async () => {
    await lamina.close();
    removeUser(user.name);
  });

  test('root and other users of the container, its terminal, and top', async () => {
    expect(
      (await lamina.call(['run', '-d', '--network', 'none', '--name', 'mine', 'tiny', 'sleep', '1000'])).code,
    ).toBe(0);
    const first = await lamina.call(['exec', 'mine', 'sh', '-c', 'id -u; readlink /proc/self/ns/* /proc/1/ns/*']);
    const [uid, ...namespaces] = first.stdout.trim().split('\n');
    expect(uid).toBe('0');
    expect(namespaces.slice(0, namespaces.length / 2)).toEqual(namespaces.slice(namespaces.length / 2));
    expect((await lamina.call(['exec', '-u', 'guest', 'mine', 'id', '-un'])).stdout).toBe('guest\n');
    const terminal = 'stat -c "%n %U %g" /dev/pts/0; [ -t 0 ] && [ -t 1 ] && echo terminal; exit 3';
    const outcome = await lamina.call(['exec', '-t', '-u', 'guest', 'mine', 'sh', '-c', terminal]);
    expect(outcome).toMatchObject({ code: 3, stdout: '/dev/pts/0 guest 5\r\nterminal\r\n' });
    expect((await lamina.call(['top', 'mine', '-o', 'pid,user,args'])).stdout).toMatch(/\d+ +root +sleep 1000\n/);
  });
});
