import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Layer } from '../../runner/demo/image.ts';
import { firstMissing, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';
import { Lamina, recipe } from './lamina.ts';

const missing = firstMissing(isRoot(), hasFuseDevice());

/** A layer that puts symlinks where the container's own mounts go. */
function symlinks(targets: Readonly<Record<string, string>>): Layer {
  return {
    title: 'symlinks in the way',
    entries: Object.entries(targets).map(([name, target]) => ({ type: 'symlink', name, target })),
  };
}

function file(name: string, content: string): Layer {
  return { title: 'a file', entries: [{ type: 'file', name, content, mode: 0o755 }] };
}

describe.skipIf(missing)(titled('a hostile image does not get out of its container', missing), () => {
  let lamina: Lamina;
  /** A directory of the host that symlinks of the images point at. */
  let canary: string;

  beforeAll(() => {
    lamina = new Lamina();
    canary = mkdtempSync(join(tmpdir(), 'lamina-canary-'));
    for (const name of ['etc', 'dev', 'proc', 'sys', 'run']) mkdirSync(join(canary, name));
    writeFileSync(join(canary, 'etc/hosts'), 'canary\n');
    writeFileSync(join(canary, 'etc/passwd'), 'canary:x:777:777::/:/bin/sh\n');
  });

  afterAll(async () => {
    await lamina.close();
    rmSync(canary, { recursive: true, force: true });
  });

  /** What the canary holds, to be the same before and after. */
  const look = (): string => execFileSync('find', [canary, '-printf', '%p %y %s %T@\n'], { encoding: 'utf8' });

  async function runWithLayer(name: string, layer: Layer, ...args: string[]) {
    await lamina.load(recipe(name, [layer]));
    const before = look();
    const outcome = await lamina.call(['run', '--rm', ...args]);
    expect(look(), 'the host is touched').toBe(before);
    expect(execFileSync('cat', ['/proc/self/mountinfo'], { encoding: 'utf8' })).not.toContain(canary);
    return outcome;
  }

  test('/proc, /sys and /dev of the image as symlinks are replaced by the container’s own', async () => {
    const layer = symlinks({
      proc: `${canary}/proc`,
      sys: `/../..${canary}/sys`,
      dev: '../../../../../../proc/1/root/dev',
    });
    const script =
      'for d in proc sys dev; do [ -L /$d ] && echo $d is a symlink; done; [ -e /proc/1/status ] && [ -c /dev/null ] && [ -d /sys/class ] && echo fine';
    const outcome = await runWithLayer('links-kernel', layer, 'links-kernel', 'sh', '-c', script);
    expect(outcome).toEqual({ code: 0, stdout: 'fine\n', stderr: '' });
  });

  test('/etc as a symlink out of the image leads inside of it', async () => {
    const outcome = await runWithLayer(
      'links-etc',
      symlinks({ etc: `${canary}/etc`, run: '/proc/1/root/run' }),
      'links-etc',
      'sh',
      '-c',
      'tail -n 1 /etc/hosts; cat /etc/passwd',
    );
    expect(outcome.stdout).toMatch(/^127\.0\.1\.1\t[0-9a-f]{12}\n$/);
    expect(outcome.stderr).toContain('/etc/passwd: No such file');
  });

  test('/etc as a symlink inside the image keeps the image’s files', async () => {
    const layer: Layer = {
      title: 'files elsewhere',
      entries: [
        { type: 'directory', name: 'usr/config' },
        { type: 'file', name: 'usr/config/kept', content: 'kept\n' },
        { type: 'symlink', name: 'etc', target: 'usr/config' },
      ],
    };
    const outcome = await runWithLayer(
      'links-inner',
      layer,
      'links-inner',
      'sh',
      '-c',
      'cat /etc/kept; tail -n 1 /etc/hosts | wc -l; readlink /etc',
    );
    expect(outcome).toEqual({ code: 0, stdout: 'kept\n1\nusr/config\n', stderr: '' });
  });

  test('live files as symlinks are replaced, not followed', async () => {
    const layer = symlinks({
      'etc/hosts': `${canary}/etc/hosts`,
      'etc/resolv.conf': '/proc/self/environ',
      'etc/hostname': '../../../../../etc/hostname',
    });
    const outcome = await runWithLayer(
      'links-live',
      layer,
      'links-live',
      'sh',
      '-c',
      'for f in hosts hostname resolv.conf; do [ -L /etc/$f ] && echo link; done; grep -c canary /etc/hosts; cat /etc/hostname',
    );
    expect(outcome.stdout).toMatch(/^[0-9a-f]{12}\n$/);
  });

  test('a volume’s destination through a symlink of the image stays inside', async () => {
    const source = join(canary, 'run');
    const outcome = await runWithLayer(
      'links-volume',
      symlinks({ data: canary }),
      '-v',
      `${source}:/data/sub`,
      'links-volume',
      'sh',
      '-c',
      `ls -d ${canary}/sub`,
    );
    expect(outcome.stdout).toBe(`${canary}/sub\n`);
  });

  test('a volume’s destination in /proc through a symlink of the image is refused', async () => {
    const outcome = await runWithLayer(
      'links-proc',
      symlinks({ data: '/proc/sys' }),
      '-v',
      `${canary}/run:/data/kernel`,
      'links-proc',
      'true',
    );
    expect(outcome.code).toBe(125);
    expect(outcome.stderr).toContain('/proc');
  });

  test('a passwd that is a symlink, a fifo or a device is not read from outside', async () => {
    await lamina.load(recipe('passwd-link', [symlinks({ 'etc/passwd': `../..${canary}/etc/passwd` })]));
    expect((await lamina.call(['run', '--rm', '--user', 'canary', 'passwd-link', 'true'])).code).toBe(126);
    await lamina.load(recipe('passwd-magic', [symlinks({ 'etc/passwd': '/proc/self/fd/0' })]));
    const magic = await lamina.call(['run', '--rm', '-i', '--user', 'x', 'passwd-magic', 'true'], {
      input: 'x:x:5:5::/:/bin/sh\n',
    });
    expect(magic.code).not.toBe(0);
    await lamina.load(recipe('passwd-zero', [symlinks({ 'etc/passwd': '/dev/zero' })]));
    expect(await lamina.call(['run', '--rm', '--user', 'x', 'passwd-zero', 'true'])).toMatchObject({
      code: 126,
      stderr: expect.stringContaining('regular') as string,
    });
  });

  test('a passwd, a group or a volume that a symlink leads into /proc or /sys is refused', async () => {
    const refused = (text: string) => ({ code: 126, stderr: expect.stringContaining(text) as string });
    await lamina.load(recipe('passwd-proc', [symlinks({ 'etc/passwd': '/proc/self/environ' })]));
    expect(await lamina.call(['run', '--rm', 'passwd-proc', 'true'])).toMatchObject(refused('/etc/passwd'));
    await lamina.load(recipe('group-sys', [symlinks({ 'etc/group': '/sys/kernel/uevent_seqnum' })]));
    expect(await lamina.call(['run', '--rm', 'group-sys', 'true'])).toMatchObject(refused('/etc/group'));
    await lamina.load(recipe('volume-sys', [symlinks({ data: '/sys/kernel' })]));
    const volume = await lamina.call(['run', '--rm', '-v', `${canary}/run:/data`, 'volume-sys', 'true']);
    expect(volume).toMatchObject({ code: 125, stderr: expect.stringContaining("kernel's own") as string });
  });

  test('a passwd whose bytes are more than sane is refused', async () => {
    await lamina.load(recipe('passwd-large', [file('etc/passwd', 'x'.repeat(17 * 1024 * 1024))]));
    const outcome = await lamina.call(['run', '--rm', 'passwd-large', 'true']);
    expect(outcome).toMatchObject({ code: 126, stderr: expect.stringContaining('is over') as string });
  });

  test('--read-only mounts no temporary directory where a symlink leads into /proc or /sys', async () => {
    for (const target of ['/proc/sys', '/sys/kernel']) {
      await lamina.load(recipe('tmp-kernel', [symlinks({ tmp: target })]));
      const outcome = await lamina.call(['run', '--rm', '--read-only', 'tmp-kernel', 'true']);
      expect(outcome).toMatchObject({ code: 125, stderr: expect.stringContaining('cannot mount on /tmp') as string });
    }
  });

  test('a command that is a script of /proc/self/exe gets nothing to write to', async () => {
    const hash = (): string => createHash('sha256').update(readFileSync(process.execPath)).digest('hex');
    const before = hash();
    const outcome = await runWithLayer('exe', file('bin/exe', '#!/proc/self/exe\n'), 'exe', '/bin/exe');
    expect(outcome.code).not.toBe(0);
    expect(hash()).toBe(before);
  });

  test('no process of the host can be seen, nor its root reached', async () => {
    const outcome = await runWithLayer(
      'plain',
      file('x', ''),
      'plain',
      'sh',
      '-c',
      'ls /proc | tr " " "\\n" | while read p; do [ -d /proc/$p/fd ] && [ $p -gt 0 ] 2>/dev/null && echo $p; done | wc -l; ls /proc/1/root/; ls /../../..',
    );
    expect(Number(outcome.stdout.split('\n')[0])).toBeLessThan(8);
    expect(outcome.stdout).not.toContain('boot');
    expect(outcome.stdout).not.toContain('home');
  });

  test('nothing of all this has left a mount', () => {
    expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(lamina.root);
    expect(readdirSync(canary).sort()).toEqual(['dev', 'etc', 'proc', 'run', 'sys']);
  });
});
