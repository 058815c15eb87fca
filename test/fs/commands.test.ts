import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { titled } from '../support/requirements.ts';
import { cannotMount, Playground, until } from './playground.ts';

describe.skipIf(cannotMount !== undefined)(titled('the commands', cannotMount), () => {
  let ground: Playground;
  beforeEach(() => void (ground = new Playground()));
  afterEach(() => ground.clear());

  const refused = (parameters: readonly string[], message: string | RegExp): void => {
    const { code, stderr } = ground.lamina(...parameters);
    expect(stderr).toMatch(message);
    expect(stderr.trim().split('\n')).toHaveLength(1);
    expect(code).toBe(1);
    expect(ground.mounted).toEqual([]);
  };

  describe('lamina mount', () => {
    test('takes layers one by one, whatever is in their names', () => {
      mkdirSync(ground.at('odd:name,with\\all'));
      writeFileSync(ground.at('odd:name,with\\all/odd'), 'odd');
      const parameters = ['--lower', 'odd:name,with\\all', '--lower', 'A', '--upper', 'U', '--work', 'W', 'm'];
      expect(ground.lamina('mount', ...parameters)).toEqual({ code: 0, stdout: '', stderr: '' });
      expect(readdirSync(ground.at('m')).sort()).toEqual(['dir', 'odd', 'top']);
    });

    test('takes -o as mount(8) does', () => {
      expect(ground.lamina('mount', '-o', 'lowerdir=A:B', '-o', 'noexec', 'm')).toMatchObject({ code: 0, stderr: '' });
      expect(readdirSync(ground.at('m')).sort()).toEqual(['bottom', 'dir', 'top']);
    });

    test('names every option that it does not know, and mounts nothing', () => {
      const message = /^lamina: unknown mount option: foo=3, bar \(lamina mount --help\)\n$/;
      refused(['mount', '-o', 'lowerdir=A,foo=3,bar', 'm'], message);
    });

    test('without a layer says how to give one', () => {
      refused(['mount', 'm'], /^lamina: lowerdir is missing: /);
    });

    test('refuses a mount point in use', () => {
      ground.lamina('mount', '--lower', 'A', 'm');
      const { code, stderr } = ground.lamina('mount', '--lower', 'B', 'm');
      expect([code, stderr]).toEqual([1, 'lamina: mount point m is in use: lamina is mounted on it already\n']);
    });
  });

  describe('lamina umount', () => {
    test('refuses what is not a lamina mount', () => {
      refused(['umount', 'A'], /^lamina: A is not a lamina mount \(lamina mounts lists them\)\n$/);
      refused(['umount', 'none'], /^lamina: none does not exist\n$/);
      refused(['umount', '/'], /^lamina: \/ is not a lamina mount/);
    });

    test('follows a symlink to the mount point', async () => {
      ground.lamina('mount', '--lower', 'A', 'm');
      symlinkSync('m', ground.at('link'));
      expect(ground.lamina('umount', 'link')).toEqual({ code: 0, stdout: '', stderr: '' });
      await until('it is unmounted', () => ground.mounted.length === 0);
    });
  });

  test('lamina mounts tells a data-only layer from the others', () => {
    expect(ground.lamina('mount', '-o', 'lowerdir=A::B', 'm')).toMatchObject({ code: 0, stderr: '' });
    expect(ground.lamina('mounts').stdout).toContain(`  ${ground.at('A')}=ro+wh\n  ${ground.at('B')}=ro (data only)\n`);
    expect(ground.registered()).toMatchObject([{ branches: [{ permission: 'ro+wh' }, { permission: 'ro' }] }]);
    expect(readdirSync(ground.at('m')).sort()).toEqual(['dir', 'top']);
  });

  test('lamina mounts shows branches as AUFS does, the topmost first', () => {
    ground.lamina('mount', '-o', 'lowerdir=A:B,upperdir=U,workdir=W', 'm');
    ground.lamina('mount', '-o', 'lowerdir=B', 'm2');
    const { stdout } = ground.lamina('mounts');
    const [first, second] = [ground.daemonOf('m'), ground.daemonOf('m2')];
    const { path } = ground;
    expect(stdout).toContain(`${path}/m (pid ${first})\n  ${path}/U=rw\n  ${path}/A=ro+wh\n  ${path}/B=ro+wh\n`);
    expect(stdout).toContain(`${path}/m2 (pid ${second})\n  ${path}/B=ro+wh\n`);
    expect(
      ground
        .registered()
        .map(({ readOnly }) => readOnly)
        .sort(),
    ).toEqual([false, true]);
  });

  test('lamina mounts shows a mount that follows another, whose daemon is not done yet', () => {
    for (let round = 0; round < 5; round += 1) {
      expect(ground.fuseLamina('-o', 'lowerdir=A', 'm')).toMatchObject({ code: 0, stderr: '' });
      // The device's number is free at once, and the next mount gets it.
      ground.run(['umount', 'm']);
      expect(ground.fuseLamina('-o', 'lowerdir=B', 'm')).toMatchObject({ code: 0, stderr: '' });
      const following = ground.registered().filter((mount) => JSON.stringify(mount).includes(ground.at('B')));
      expect(following).toMatchObject([{ alive: true }]);
      expect(ground.lamina('umount', 'm')).toMatchObject({ code: 0, stderr: '' });
    }
  });

  test('lamina stats counts requests by name and the lookup cache’s hits and misses', () => {
    ground.lamina('mount', '-o', 'lowerdir=A:B,upperdir=U,workdir=W', 'm');
    readFileSync(ground.at('m/top'));
    writeFileSync(ground.at('m/new'), 'new');
    const stats = JSON.parse(ground.lamina('stats', '--json', 'm').stdout) as {
      requests: Record<string, number>;
      overlay: Record<string, number>;
    };
    expect(stats.requests).toMatchObject({ INIT: 1, OPEN: 1, CREATE: 1 });
    expect(stats.overlay['cacheHits']).toBeGreaterThanOrEqual(0);
    expect(stats.overlay['cacheMisses']).toBeGreaterThan(0);
    const { stdout } = ground.lamina('stats', 'm');
    expect(stdout).toMatch(/^requests of the kernel\n(?: {2}\w+ +\d+\n)+ {2}total +\d+\nunion\n/);
    expect(stdout).toMatch(/\n {2}cacheHits +\d+\n {2}cacheMisses +\d+\n/);
    expectError(['stats', 'A'], 'lamina: A is not a lamina mount (lamina mounts lists them)\n');
  });

  const expectError = (parameters: readonly string[], message: string): void => {
    const { code, stderr } = ground.lamina(...parameters);
    expect([code, stderr]).toEqual([1, message]);
  };
});
