import { type ChildProcess, spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run, temporary } from '../image/ground.ts';
import { firstMissing, has, hasFuseDevice, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';
import { ended, Lamina, makeUser, type Outcome, recipe, removeUser, type User, wrote } from './lamina.ts';

const LONG = { timeout: 60_000 };

const SCRIPT = [
  'mkdir -p /data/sub /target /links',
  'echo one >/data/f; ln /data/f /data/hard; ln -s f /data/soft; mkfifo /data/fifo',
  'chown 7:8 /data/f; chmod 4750 /data/f; touch -d @1600000000 /data/f',
  // Out of the root, as a runner that follows them itself would go.
  'ln -s /data/f /links/absolute; ln -s ../../../../data /links/up; ln -s /target /links/target',
  'echo up; cat',
].join('; ');

function outcome({ code, stdout, stderr }: Outcome): { code: number; stdout: string; stderr: string } {
  return { code, stdout, stderr };
}

const missing = firstMissing(isRoot(), hasFuseDevice());

describe.skipIf(missing)(titled('lamina cp', missing), () => {
  let lamina: Lamina;
  let running: ChildProcess;

  beforeAll(async () => {
    lamina = new Lamina();
    await lamina.load(recipe('tiny'));
    running = lamina.start(['run', '-i', '--name', 'r', '-v', `${lamina.root}:/volume`, 'tiny', 'sh', '-c', SCRIPT]);
    await wrote(running, 'up');
  });
  afterAll(async () => {
    running.stdin?.end();
    await ended(running);
    await lamina.close();
  });

  async function must(...args: readonly string[]): Promise<void> {
    expect(outcome(await lamina.call(['cp', ...args]))).toEqual({ code: 0, stdout: '', stderr: '' });
  }

  test('takes a directory of a running container as docker does, by what is in its place', LONG, async () => {
    const here = temporary();
    await must('r:/data', join(here, 'new'));
    expect(readdirSync(join(here, 'new')).sort()).toEqual(['f', 'fifo', 'hard', 'soft', 'sub']);
    const copied = statSync(join(here, 'new/f'));
    // The caller's, without set-id bits, with the container's time.
    expect([copied.uid, copied.gid, copied.mode & 0o7777, copied.mtimeMs]).toEqual([0, 0, 0o750, 1600000000000]);
    expect(statSync(join(here, 'new/hard')).ino).toBe(copied.ino);
    expect(readlinkSync(join(here, 'new/soft'))).toBe('f');
    mkdirSync(join(here, 'there'));
    await must('-a', 'r:/data', join(here, 'there'));
    const kept = statSync(join(here, 'there/data/f'));
    expect([kept.uid, kept.gid, kept.mode & 0o7777]).toEqual([7, 8, 0o4750]);
    await must('r:data/.', join(here, 'there'));
    expect(readdirSync(join(here, 'there')).sort()).toEqual(['data', 'f', 'fifo', 'hard', 'soft', 'sub']);
  });

  test('takes a symlink as it is, what it leads to by -L or a slash, and a volume', LONG, async () => {
    const here = temporary();
    await must('r:/links/absolute', join(here, 'link'));
    expect(readlinkSync(join(here, 'link'))).toBe('/data/f');
    await must('-L', 'r:/links/absolute', join(here, 'file'));
    expect(readFileSync(join(here, 'file'), 'utf8')).toBe('one\n');
    await must('r:/links/up/', join(here, 'directory'));
    expect(readdirSync(join(here, 'directory'))).toContain('sub');
    await must('r:/volume/oci-layout', here);
    expect(readFileSync(join(here, 'oci-layout'), 'utf8')).toContain('imageLayoutVersion');
  });

  test('gives files to a running container, and replaces what it has', LONG, async () => {
    const here = temporary();
    writeFileSync(join(here, 'mine'), 'mine\n');
    chownSync(join(here, 'mine'), 1234, 1234);
    chmodSync(join(here, 'mine'), 0o4711);
    mkdirSync(join(here, 'tree'));
    symlinkSync('/nowhere', join(here, 'tree/.wh.link'));
    await must(join(here, 'mine'), 'r:/target');
    await must(join(here, 'mine'), 'r:/target/renamed');
    await must('-a', join(here, 'mine'), 'r:/links/target/owned');
    await must(join(here, 'tree'), 'r:/target/tree');
    // A mount point, which nothing can replace: its content is written.
    await must(join(here, 'mine'), 'r:/etc/hosts');
    const { stdout } = await lamina.call(['cp', 'r:/target', '-']);
    expect(stdout.length).toBeGreaterThan(0);
    await must('r:/target', join(here, 'back'));
    await must('-a', 'r:/target/owned', join(here, 'owned'));
    await must('r:/etc/hosts', join(here, 'hosts'));
    expect(readdirSync(join(here, 'back')).sort()).toEqual(['mine', 'owned', 'renamed', 'tree']);
    expect(readlinkSync(join(here, 'back/tree/.wh.link'))).toBe('/nowhere');
    expect(readFileSync(join(here, 'hosts'), 'utf8')).toBe('mine\n');
    expect([statSync(join(here, 'owned')).uid, statSync(join(here, 'owned')).mode & 0o7777]).toEqual([1234, 0o4711]);
  });

  test('streams archives both ways, through symlinks of the container and never beside it', LONG, async () => {
    const here = temporary();
    const archive = join(here, 'x.tar');
    run(
      'sh',
      '-c',
      `mkdir -p ${here}/links/target; echo streamed >${here}/links/target/s; tar -C ${here} -cf ${archive} links/target/s`,
    );
    const given = spawnCp(lamina, archive, 'r:/');
    expect(await given).toMatchObject({ code: 0, stderr: '' });
    await must('r:/target/s', join(here, 'back'));
    expect(readFileSync(join(here, 'back'), 'utf8')).toBe('streamed\n');
    const child = lamina.start(['cp', 'r:/data/.', '-']);
    child.stdin?.end();
    const names = spawnSync('tar', ['-tf', '-'], { input: await bytesOf(child), encoding: 'utf8' }).stdout;
    expect(names.trim().split('\n').sort()).toEqual(['./', 'f', 'fifo', 'hard', 'soft', 'sub/']);
    run('sh', '-c', `cd ${here} && tar -Pcf ${archive} --transform 's,^,../../../,' links`);
    expect((await spawnCp(lamina, archive, 'r:/target')).stderr).toMatch(/^lamina: entry .*: its name climbs with/);
  });

  test('refuses in one line what cannot be copied', LONG, async () => {
    const here = temporary();
    writeFileSync(join(here, 'file'), '');
    mkdirSync(join(here, 'directory'));
    for (const [from, to, message] of [
      ['r:/none', here, /there is no r:\/none\n/],
      ['none:/x', here, /no container "none"/],
      [join(here, 'file'), 'r:/none/x', /cannot open r:\/none\/x: no such file or directory/],
      [join(here, 'file'), 'r:/none/', /there is no directory r:\/none\/: make it first/],
      [join(here, 'directory'), 'r:/data/f', /is a directory, and r:\/data\/f is none/],
      [join(here, 'file'), 'r:/data/f/', /r:\/data\/f\/?.*(?:no|not a) directory/],
      ['r:/data/f', 'r:/x', /must be CONTAINER:PATH, and the other of this machine/],
      ['r:/proc/1/root/data/f', here, /symbolic links|ELOOP/],
      ['-', 'r:/data/f', /r:\/data\/f is not a directory that is there/],
    ] as const) {
      const { code, stdout, stderr } = await lamina.call(['cp', from, to]);
      expect({ code, stdout, lines: stderr.split('\n').length }).toEqual({ code: 1, stdout: '', lines: 2 });
      expect(stderr).toMatch(message);
    }
  });

  test('reads and writes a container that has ended, and leaves no mount', LONG, async () => {
    const here = temporary();
    expect(
      outcome(await lamina.call(['run', '--name', 'ended', 'tiny', 'sh', '-c', 'echo x >/x; ln -s /x /l'])),
    ).toMatchObject({ code: 0 });
    await must('ended:/x', join(here, 'x'));
    writeFileSync(join(here, 'y'), 'y');
    await must(join(here, 'y'), 'ended:/l');
    const mounts = readFileSync('/proc/mounts', 'utf8').split('\n');
    // That of the container that runs.
    expect(mounts.filter((line) => line.includes(lamina.root))).toHaveLength(1);
    await must('ended:/x', join(here, 'again'));
    expect(readFileSync(join(here, 'again'), 'utf8')).toBe('y');
    expect((await lamina.call(['diff', 'ended'])).stdout).toBe('A /l\nA /x\n');
  });

  // CVE-2018-15664: who looks at the path first and opens it afterwards is led to the host by a link that comes between.
  test('is led nowhere by a symlink that flips', LONG, async () => {
    const canary = temporary();
    writeFileSync(join(canary, 'secret'), 'of the host');
    const flip = `cd /flip; i=0; mkdir -p a/flip; while :; do ln -sfn ${canary} new; mv -T new a/x 2>/dev/null; rm a/x; mkdir a/x; echo own >a/x/secret; rm -r a/x; done`;
    const child = lamina.start([
      'run',
      '-i',
      '--name',
      'flip',
      'tiny',
      'sh',
      '-c',
      `mkdir /flip; (${flip}) & echo up; cat; kill $!`,
    ]);
    const end = ended(child);
    await wrote(child, 'up');
    const here = temporary();
    writeFileSync(join(here, 'evil'), 'written');
    for (let round = 0; round < 6; round += 1) {
      const out = join(here, String(round));
      const copied = await lamina.call(['cp', ...(round % 2 === 0 ? ['-L'] : []), 'flip:/flip/a/x/secret', out]);
      if (copied.code === 0) expect(['own\n', '']).toContain(readFileSync(out, 'utf8'));
      await lamina.call(['cp', join(here, 'evil'), 'flip:/flip/a/x/secret']);
      await lamina.call(['cp', join(here, 'evil'), 'flip:/flip/a/x']);
    }
    child.stdin?.end();
    await end;
    expect(readdirSync(canary)).toEqual(['secret']);
    expect(readFileSync(join(canary, 'secret'), 'utf8')).toBe('of the host');
  });
});

async function spawnCp(lamina: Lamina, archive: string, to: string): Promise<Outcome> {
  const child = lamina.start(['cp', '-', to]);
  child.stdin?.on('error', () => undefined);
  child.stdin?.end(readFileSync(archive));
  return ended(child);
}

async function bytesOf(child: ChildProcess): Promise<Buffer> {
  const chunks: Buffer[] = [];
  child.stdout?.on('data', (chunk: Buffer) => chunks.push(chunk));
  await ended(child);
  return Buffer.concat(chunks);
}

const noUser = firstMissing(isRoot(), hasFuseDevice(), hasUserNamespaces(), has('useradd'), has('newuidmap'));

describe.skipIf(noUser)(titled('lamina cp of an ordinary user', noUser), () => {
  let user: User;
  let lamina: Lamina;

  beforeAll(async () => {
    user = makeUser('lamina-cp', { start: 720_000_000, count: 65_536 });
    lamina = new Lamina(user);
    await lamina.load(recipe('tiny'));
  });
  afterAll(async () => {
    await lamina.close();
    removeUser(user.name);
  });

  test('reads and writes a container that runs, and one that has ended', LONG, async () => {
    const home = `/home/${user.name}`;
    const child = lamina.start([
      'run',
      '-i',
      '--name',
      'c',
      'tiny',
      'sh',
      '-c',
      'echo x >/x; chown 5 /x; echo up; cat; cat /y',
    ]);
    const end = ended(child);
    await wrote(child, 'up');
    writeFileSync(join(home, 'y'), 'y');
    expect(outcome(await lamina.call(['cp', 'c:/x', `${home}/x`]))).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(outcome(await lamina.call(['cp', `${home}/y`, 'c:/']))).toEqual({ code: 0, stdout: '', stderr: '' });
    child.stdin?.end();
    expect((await end).stdout).toBe('up\ny');
    expect(outcome(await lamina.call(['cp', '-a', 'c:/x', `${home}/ended`]))).toMatchObject({ code: 0, stderr: '' });
    expect([lstatSync(join(home, 'x')).uid, lstatSync(join(home, 'ended')).uid]).toEqual([user.uid, 720_000_004]);
    for (const name of ['x', 'y', 'ended']) rmSync(join(home, name));
  });
});
