import { cpSync, existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DIST, REPOSITORY } from '../support/paths.ts';
import { firstMissing, has, titled } from '../support/requirements.ts';
import { cannotMount, Playground } from './playground.ts';

// fusermount3 serves users who are in the password file.
const USER = 'nobody';
const missing = firstMissing(cannotMount, has('fusermount3'), has('setpriv'));

describe.skipIf(missing !== undefined)(titled('a user without capabilities', missing), () => {
  let ground: Playground;
  beforeEach(() => {
    ground = new Playground();
    // The build may lie where this user cannot read it.
    cpSync(DIST, ground.at('dist'), { recursive: true });
    cpSync(join(REPOSITORY, 'package.json'), ground.at('package.json'));
    cpSync(join(REPOSITORY, 'node_modules/koffi'), ground.at('node_modules/koffi'), { recursive: true });
    // What tar-stream needs is there in one version or another.
    const streams = ['tar-stream', 'streamx', 'b4a', 'fast-fifo', 'text-decoder', 'events-universal', 'bare-events'];
    const there = streams.filter((name) => existsSync(join(REPOSITORY, 'node_modules', name)));
    for (const name of ['@koromix', 'lru-cache', 'commander', ...there]) {
      cpSync(join(REPOSITORY, 'node_modules', name), ground.at('node_modules', name), { recursive: true });
    }
    ground.run(['chown', '-R', `${USER}:`, ground.path]);
  });
  afterEach(() => ground.clear());

  /** Runs a script as the user, with a /dev/fuse of its own mount namespace of the mode given. */
  function runAs(mode: string, script: string): { code: number | null; stdout: string; stderr: string } {
    const program = ground.at('dist/cli/fuse-lamina');
    const lamina = [process.execPath, ground.at('dist/cli/lamina.js')].join(' ');
    const own = script.replaceAll('FUSE_LAMINA', program).replaceAll('LAMINA', lamina);
    const prepare = `mknod -m ${mode} ${ground.at('fuse')} c 10 229 && mount --bind ${ground.at('fuse')} /dev/fuse`;
    const drop = `exec setpriv --reuid ${USER} --regid $(id -g ${USER}) --init-groups env -u XDG_RUNTIME_DIR sh -c '${own}'`;
    return ground.run(['unshare', '--mount', 'sh', '-c', `${prepare} && ${drop}`]);
  }

  const MOUNT = 'FUSE_LAMINA -o lowerdir=A:B,upperdir=U,workdir=W m';

  test('mounts through fusermount3, without suid and dev, and unmounts through it', () => {
    const script = `${MOUNT} && grep ${ground.at('m')} /proc/self/mounts && cat m/dir/lower && echo new > m/new
      LAMINA mounts && LAMINA umount m && ! grep ${ground.at('m')} /proc/self/mounts`;
    const { code, stdout, stderr } = runAs('0666', script);
    expect([code, stderr]).toEqual([0, '']);
    expect(stdout).toMatch(/ fuse\.lamina rw,nosuid,nodev,noatime,.*,default_permissions,max_read=524288 /);
    expect(stdout).toContain('lower');
    expect(stdout).toContain(`  ${ground.at('U')}=rw\n`);
    expect(readFileSync(ground.at('U/new'), 'utf8')).toBe('new\n');
  });

  test('ends the mount with SIGTERM', () => {
    const script = `FUSE_LAMINA -f -o lowerdir=A m & pid=$!
      while ! grep -q ${ground.at('m')} /proc/self/mounts; do sleep 0.05; done
      while ! LAMINA mounts | grep -q ${ground.at('m')}; do sleep 0.05; done
      kill -TERM $pid; wait $pid && ! grep ${ground.at('m')} /proc/self/mounts`;
    expect(runAs('0666', script)).toEqual({ code: 0, stdout: '', stderr: '' });
  });

  test('is told why neither mount(2) nor fusermount3 takes allow_other', () => {
    const { code, stderr } = runAs('0666', 'FUSE_LAMINA -o lowerdir=A,allow_other m');
    expect(stderr).toMatch(/^fuse-lamina: cannot mount on \S+: mount\(2\): .*EPERM.*; fusermount3: .*allow_other.*\n$/);
    expect(code).toBe(1);
  });
});
