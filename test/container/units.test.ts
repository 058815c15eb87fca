import { once } from 'node:events';
import { closeSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { execFileSync, spawn } from 'node:child_process';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { O_CLOEXEC } from '../../fs/sys/constants.ts';
import { hasLostReader } from '../../fs/sys/event.ts';
import { pipe2 } from '../../fs/sys/process.ts';
import { EAGAIN, ENOENT } from '../../fs/sys/errno.ts';
import { diffLayers } from '../../runner/container/diff.ts';
import { resolveInLayers } from '../../runner/container/merged-tree.ts';
import { describeAge } from '../../runner/container/listing.ts';
import { checkName, randomName } from '../../runner/container/names.ts';
import { parseMount } from '../../runner/container/volume/mount-flag.ts';
import { parseTmpfs } from '../../runner/container/volume/tmpfs-flag.ts';
import { parseVolume } from '../../runner/container/volume/volume-flag.ts';
import { libraryDirectories } from '../../runner/container/protected-node.ts';
import { identify, isAlive } from '../../runner/container/process-identity.ts';
import { untilSettled } from '../../runner/container/stage/inside.ts';
import { parseSubordinateIds } from '../../runner/container/subordinate-ids.ts';
import { isRoot, titled } from '../support/requirements.ts';
import { LaunchFailed, childOf } from '../../runner/container/user-namespace/launch.ts';

test('parseSubordinateIds takes the ranges of a name and of its number, in order', () => {
  const text = 'other:1:2\nme:100000:65536\n1000:300000:10\nme:x:5\nme:5:0\nme:4294967290:100\n# me:1:1\n\n';
  expect(parseSubordinateIds(text, { name: 'me', uid: 1000 })).toEqual([
    { start: 100_000, count: 65_536 },
    { start: 300_000, count: 10 },
  ]);
});

test('hasLostReader tells whether the other end of a pipe is closed', () => {
  const pipe = pipe2(O_CLOEXEC);
  if (typeof pipe === 'number') throw new Error(`pipe2: ${pipe}`);
  expect(hasLostReader(pipe.writeEnd)).toBe(false);
  closeSync(pipe.readEnd);
  expect(hasLostReader(pipe.writeEnd)).toBe(true);
  closeSync(pipe.writeEnd);
});

test('untilSettled repeats what was disturbed by a rename, and gives up in the end', () => {
  let calls = 0;
  const disturbed = (times: number) => () => (calls++ < times ? -EAGAIN : 7);
  expect(untilSettled(disturbed(20))).toBe(7);
  expect(calls).toBe(21);
  expect(untilSettled(() => -ENOENT)).toBe(-ENOENT);
  expect(untilSettled(disturbed(Infinity))).toBe(-EAGAIN);
});

test.each([
  [0, 'Less than a second'],
  [999, 'Less than a second'],
  [1_000, '1 second'],
  [59_000, '59 seconds'],
  [60_000, 'About a minute'],
  [120_000, '2 minutes'],
  [3_600_000, 'About an hour'],
  [7_200_000, '2 hours'],
  [48 * 3_600_000, '2 days'],
  [15 * 86_400_000, '2 weeks'],
  [Number.NaN, 'Less than a second'],
])('describeAge tells %d milliseconds as docker does', (milliseconds, text) => {
  expect(describeAge(milliseconds)).toBe(text);
});

test('checkName refuses what is no name, and takes those that are made up', () => {
  for (const name of ['', '.', '..', '-x', '_x', 'a/b', 'a b', 'a\n', 'x'.repeat(129)])
    expect(() => checkName(name), name).toThrow('not valid');
  for (let count = 0; count < 50; count += 1) expect(checkName(randomName())).toMatch(/^[a-z]+_[a-z]+$/);
});

test('parseVolume takes a path of the host, or a volume, and all modes of docker and podman', () => {
  const etc = { type: 'bind', source: '/etc', destination: '/x', readOnly: false };
  expect(parseVolume('/etc/../etc:/a//b/../c/:ro')).toEqual({ ...etc, destination: '/a/c', readOnly: true });
  expect(parseVolume('/etc:/x:z,rw,U,O')).toEqual({ ...etc, chown: true, overlay: true });
  expect(parseVolume('/etc:/x:noexec,nosuid,dev,rslave,bind')).toEqual({
    ...etc,
    ...{ noExec: true, noSuid: true, dev: true, propagation: 'rslave', nonRecursive: true },
  });
  expect(parseVolume('./fs:/x')).toMatchObject({ type: 'bind', source: join(process.cwd(), 'fs') });
  expect(parseVolume('/x')).toEqual({ type: 'volume', destination: '/x', readOnly: false });
  expect(parseVolume('v_1:/x:nocopy')).toEqual({
    ...{ type: 'volume', name: 'v_1', destination: '/x', readOnly: false, noCopy: true },
  });
  for (const wrong of [
    ...['etc', ':/x', '/etc:', '/etc:x', '/etc:/x:rx', '/etc:/x:ro:z', '-v:/x', '/etc:/', '/etc:/proc'],
    ...['/etc:/x/../proc/y', '/no/such:/x', '/etc:/x:ro,rw', '/etc:/x:shared,private', '/etc:/x:nocopy'],
  ]) {
    expect(() => parseVolume(wrong), wrong).toThrow(/^volume /);
  }
});

test('parseMount takes the keys of each type, and no others', () => {
  expect(parseMount('type=bind,src=/etc,target=/x,readonly,bind-propagation=shared,bind-nonrecursive')).toEqual({
    ...{ type: 'bind', source: '/etc', destination: '/x', readOnly: true, propagation: 'shared', nonRecursive: true },
  });
  expect(parseMount('"source=v",dst=/a b,volume-nocopy=true,volume-label=k=v,volume-subpath=s')).toEqual({
    ...{
      type: 'volume',
      name: 'v',
      destination: '/a b',
      readOnly: false,
      noCopy: true,
      labels: { k: 'v' },
      subpath: 's',
    },
  });
  expect(parseMount('type=tmpfs,destination=/t,tmpfs-size=1m,tmpfs-mode=700')).toEqual({
    ...{ type: 'tmpfs', destination: '/t', readOnly: false, data: ['size=1m', 'mode=700'] },
  });
  expect(parseMount('type=image,src=debian:12,dst=/i,rw=true')).toMatchObject({ image: 'debian:12', readOnly: false });
  for (const wrong of [
    ...['type=bind,dst=/x', 'type=bind,src=/etc', 'type=nfs,dst=/x', 'dst=/x,volume-opt=a=b', 'dst=/x,dst=/y'],
    ...['type=tmpfs,dst=/x,src=/y', 'type=tmpfs,dst=/x,bind-propagation=shared', 'type=bind,src=/etc,dst=/x,ro=maybe'],
    ...['dst=/x,volume-driver=nfs', 'type=bind,src=/etc,dst=/x,bind-propagation=loud'],
  ]) {
    expect(() => parseMount(wrong), wrong).toThrow(/^mount /);
  }
});

test('parseTmpfs takes options of the kernel, and refuses what it would pass on', () => {
  expect(parseTmpfs('/t:size=64m,mode=1770,exec,ro')).toEqual({
    ...{ type: 'tmpfs', destination: '/t', readOnly: true, exec: true, data: ['size=64m', 'mode=1770'] },
  });
  expect(() => parseTmpfs('/t:bind')).toThrow('none of a tmpfs');
  expect(() => parseTmpfs('t')).toThrow('not an absolute path');
});

test('libraryDirectories names those that the loader does not look in by itself', () => {
  const line = (path: string) => `7f0000000000-7f0000001000 r--p 00000000 fe:00 123   ${path}`;
  const standard = [
    '/lib/x86_64-linux-gnu/libc.so.6',
    '/usr/lib64/libm.so.6',
    '/usr/lib/libz.so',
    '/usr/bin/node',
    '[stack]',
  ];
  const own = ['/opt/conda/lib/libuv.so.1.0.0', '/opt/conda/lib/libz.so.1', '/srv/x y/libnode.so.115', '/a/koffi.node'];
  expect(libraryDirectories([...standard, ...own].map(line).join('\n'))).toEqual(['/opt/conda/lib', '/srv/x y']);
});

test('identify tells a process from a later one of its number', () => {
  const own = identify(process.pid);
  expect(own).toBeDefined();
  if (own === undefined) return;
  expect(isAlive(own)).toBe(true);
  expect(isAlive({ ...own, startTime: own.startTime + 1 })).toBe(false);
  expect(isAlive({ ...own, boot: 'another' })).toBe(false);
  expect(identify(2 ** 22 + 1)).toBeUndefined();
});

describe('layers read without a mount', () => {
  let directory: string;
  const layer = (name: string): string => join(directory, name);
  const put = (path: string, content = ''): void => {
    mkdirSync(join(directory, path, '..'), { recursive: true });
    writeFileSync(join(directory, path), content);
  };

  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'lamina-layers-'));
    for (const name of ['top', 'middle', 'bottom']) mkdirSync(layer(name));
  });

  afterEach(() => rmSync(directory, { recursive: true }));

  const layers = (): string[] => [layer('top'), layer('bottom')];

  test('resolveInLayers follows symlinks inside the union alone', () => {
    put('bottom/real/deep/file');
    symlinkSync('../../../../real', layer('top/link'));
    symlinkSync('/link/deep', layer('bottom/absolute'));
    symlinkSync('loop', layer('top/loop'));
    expect(resolveInLayers(layers(), '/link/deep/file')).toEqual({ path: ['real', 'deep', 'file'], kind: 'other' });
    expect(resolveInLayers(layers(), '/absolute')).toEqual({ path: ['real', 'deep'], kind: 'directory' });
    expect(resolveInLayers(layers(), '/absolute/../../x/y')).toEqual({ path: ['x', 'y'], kind: 'absent' });
    expect(resolveInLayers(layers(), '/loop')).toBeUndefined();
    expect(resolveInLayers(layers(), '/real/deep/file/x')).toBeUndefined();
    expect(resolveInLayers(layers(), '/../..')).toEqual({ path: [], kind: 'directory' });
  });

  test('resolveInLayers sees no lower file behind a whiteout or an opaque directory', () => {
    put('bottom/gone/x');
    put('top/.wh.gone');
    put('bottom/anew/old');
    put('top/anew/.wh..wh..opq');
    expect(resolveInLayers(layers(), '/gone/x')?.kind).toBe('absent');
    expect(resolveInLayers(layers(), '/anew')?.kind).toBe('directory');
    expect(resolveInLayers(layers(), '/anew/old')?.kind).toBe('absent');
  });

  test('diffLayers reads whiteouts and opaque marks in AUFS’s form', () => {
    put('bottom/a/one');
    put('bottom/a/two');
    put('bottom/b');
    put('middle/a/three');
    put('top/a/.wh..wh..opq');
    put('top/a/two', 'new');
    put('top/a/four');
    put('top/.wh.b');
    put('top/.wh.never');
    expect(lines()).toEqual(['C /a', 'A /a/four', 'D /a/one', 'D /a/three', 'C /a/two', 'D /b']);
  });

  const missing = isRoot();

  test.skipIf(missing)(titled('diffLayers reads whiteouts and opaque marks in overlayfs’s form', missing), () => {
    put('bottom/a/one');
    put('bottom/b');
    put('bottom/c/inner');
    mkdirSync(layer('top/a'));
    execFileSync('setfattr', ['-n', 'trusted.overlay.opaque', '-v', 'y', layer('top/a')]);
    execFileSync('mknod', [layer('top/b'), 'c', '0', '0']);
    put('top/c', 'a file in place of a directory');
    expect(lines()).toEqual(['C /a', 'D /a/one', 'D /b', 'C /c']);
  });

  test('diffLayers shows a file named .wh.NAME that has content as the file that it is', () => {
    put('bottom/b');
    put('top/.wh.b', 'content');
    expect(lines()).toEqual(['A /.wh.b']);
  });

  test.skipIf(missing)(
    titled('diffLayers shows a file named .wh.NAME that bears the mark of a user’s own', missing),
    () => {
      put('bottom/b');
      put('top/.wh.b');
      execFileSync('setfattr', ['-n', 'trusted.overlay.plain', '-v', 'y', layer('top/.wh.b')]);
      expect(lines()).toEqual(['A /.wh.b']);
    },
  );

  test.skipIf(missing)(titled('diffLayers shows a moved directory as gone and added, with all in it', missing), () => {
    put('bottom/old/sub/one');
    put('bottom/old/two');
    put('middle/old/three');
    put('bottom/there/hidden');
    put('bottom/parent/name/four');
    mkdirSync(layer('top/new/'), { recursive: true });
    mkdirSync(layer('top/there/'), { recursive: true });
    mkdirSync(layer('top/parent/renamed'), { recursive: true });
    put('top/new/two', 'changed');
    put('top/new/own');
    put('top/new/sub/.wh.one');
    put('top/parent/.wh.name');
    put('top/.wh.old');
    const redirect = (name: string, value: string): void =>
      void execFileSync('setfattr', ['-n', 'trusted.overlay.redirect', '-v', value, layer(name)]);
    redirect('top/new', '/old');
    redirect('top/there', '/old/sub');
    redirect('top/parent/renamed', 'name');
    expect(lines()).toEqual([
      'A /new',
      'A /new/own',
      'A /new/sub',
      'A /new/three',
      'A /new/two',
      'D /old',
      'C /parent',
      'D /parent/name',
      'A /parent/renamed',
      'A /parent/renamed/four',
      'C /there',
      'D /there/hidden',
      'A /there/one',
    ]);
  });

  test('diffLayers names bytes that are not UTF-8 as they are', () => {
    writeFileSync(Buffer.concat([Buffer.from(`${layer('top')}/`), Buffer.from([0xff, 0x80])]), '');
    expect(lines()).toEqual(['A /\xff\x80']);
  });

  function lines(): string[] {
    return diffLayers({
      upper: layer('top'),
      work: layer('no-workdir'),
      lowers: [layer('middle'), layer('bottom')],
    }).map(({ kind, path }) => `${kind} ${path}`);
  }
});

describe('childOf', () => {
  /** A shell that ends without a child. */
  async function launcher(script: string): Promise<number> {
    const child = spawn('sh', ['-c', script], { stdio: 'ignore' });
    const ended = once(child, 'exit').then(([, signal]) => ({
      signal: signal === null ? null : constants.signals[signal as NodeJS.Signals],
    }));
    return childOf(child.pid ?? 0, ended);
  }

  test('tells a launcher that has found nothing to start from one that was killed, and may have', async () => {
    await expect(launcher('exit 1')).rejects.toBeInstanceOf(LaunchFailed);
    const killed = launcher('kill -9 $$');
    await expect(killed).rejects.toThrow(/ended by signal 9/);
    await expect(killed).rejects.not.toBeInstanceOf(LaunchFailed);
  });
});
