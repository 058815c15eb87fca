import { spawnSync } from 'node:child_process';
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { firstMissing, has, titled } from '../support/requirements.ts';
import { cannotMount, Playground } from './playground.ts';

// What each option does that fuse-overlayfs has, tried beside it (version 1.10).

const WRITABLE = 'lowerdir=A:B,upperdir=U,workdir=W';
const NOBODY = 65_534;
const missing = firstMissing(cannotMount, has('setpriv'), has('setfattr'), has('setfacl'));

describe.skipIf(missing !== undefined)(titled('mount options of fuse-overlayfs', missing), () => {
  let ground: Playground;
  beforeEach(() => {
    ground = new Playground();
    chmodSync(ground.path, 0o755);
  });
  afterEach(() => ground.clear());

  function mount(options: string, environment: NodeJS.ProcessEnv = {}, base = WRITABLE): void {
    const { code, stderr } = ground.fuseLaminaIn(environment, '-o', [base, options].filter(Boolean).join(','), 'm');
    expect([code, stderr]).toEqual([0, '']);
  }
  const umount = (): void => void ground.run(['umount', 'm']);
  const asNobody = (...command: readonly string[]) =>
    ground.run(['setpriv', '--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups', ...command]);
  const owner = (path: string): string => {
    const { uid, gid } = lstatSync(ground.at(path));
    return `${uid}:${gid}`;
  };

  test('others may use the mount of root, except with allow_root', () => {
    mount('');
    expect(asNobody('cat', 'm/top')).toMatchObject({ code: 0, stdout: 'top' });
    umount();
    mount('allow_root');
    expect(asNobody('cat', 'm/top')).toMatchObject({ code: 1 });
    expect(readFileSync(ground.at('m/top'), 'utf8')).toBe('top');
    umount();
    mount('allow_other');
    expect(asNobody('cat', 'm/top')).toMatchObject({ code: 0, stdout: 'top' });
  });

  test('ino32_t makes inode numbers fit 32 bits, in stat and in a listing, over several filesystems', () => {
    expect(ground.run(['mount', '-t', 'tmpfs', 'none', 'B']).code).toBe(0);
    writeFileSync(ground.at('B/other'), '');
    const numbers = () =>
      readdirSync(ground.at('m'))
        .filter((name) => name !== 'dir')
        .map((name) => lstatSync(ground.at('m', name)).ino);
    mount('');
    expect(Math.max(...numbers())).toBeGreaterThan(2 ** 32);
    umount();
    mount('ino32_t');
    expect(Math.max(...numbers())).toBeLessThan(2 ** 32);
    const { stdout } = ground.run(['sh', '-c', 'ls -i m | while read i n; do stat -c "%i $n" m/$n; done']);
    expect(stdout).toBe(ground.run(['sh', '-c', 'ls -i m | sed "s/^ *//"']).stdout);
  });

  test('noxattrs=1 takes extended attributes from users', () => {
    ground.run(['setfattr', '-n', 'user.a', '-v', '1', 'A/top']);
    mount('noxattrs=1');
    expect(ground.run(['getfattr', '-n', 'user.a', 'm/top']).stderr).toContain('Operation not supported');
    expect(ground.run(['setfattr', '-n', 'user.b', '-v', '1', 'm/top']).stderr).toContain('Operation not supported');
    expect(ground.run(['getfattr', 'm/top']).stdout).toBe('');
  });

  test('noacl lets ACLs neither be set nor count', () => {
    chmodSync(ground.at('A/top'), 0o600);
    expect(ground.run(['setfacl', '-m', `u:${NOBODY}:r`, 'A/top']).code).toBe(0);
    mount('');
    expect(asNobody('cat', 'm/top').code).toBe(0);
    expect(ground.run(['setfacl', '-m', 'u:1:r', 'm/top']).code).toBe(0);
    umount();
    mount('noacl', {}, 'lowerdir=A');
    expect(ground.run(['getfacl', '-n', 'm/top']).stdout).not.toContain(`user:${NOBODY}:`);
    umount();
    mount('noacl');
    expect(ground.run(['setfacl', '-m', 'u:1:r', 'm/top']).stderr).toContain('Operation not supported');
  });

  test('static_nlink gives directories one link', () => {
    mount('');
    expect(lstatSync(ground.at('m')).nlink).toBeGreaterThan(1);
    umount();
    mount('static_nlink');
    expect([lstatSync(ground.at('m')).nlink, lstatSync(ground.at('m/dir')).nlink]).toEqual([1, 1]);
    expect(lstatSync(ground.at('m/top')).nlink).toBe(1);
  });

  test('squash_to_root shows root as the owner of all, squash_to_uid and squash_to_gid win over it', () => {
    chownSync(ground.at('A/top'), 5, 6);
    chmodSync(ground.at('A'), 0o777);
    mount('squash_to_root');
    expect(owner('m/top')).toBe('0:0');
    chownSync(ground.at('m/top'), 7, 8);
    expect([owner('m/top'), owner('U/top')]).toEqual(['0:0', '7:8']);
    umount();
    mount('squash_to_gid=9,squash_to_root,squash_to_uid=11');
    expect([owner('m/top'), owner('m/dir')]).toEqual(['11:9', '11:9']);
    umount();
    mount('squash_to_uid=11');
    expect([owner('m/top'), owner('m')]).toEqual(['11:8', '11:0']);
  });

  test('uidmapping and gidmapping translate both ways; what is not mapped is nobody’s', () => {
    chownSync(ground.at('A/top'), 1005, 2006);
    mount('uidmapping=:1000:0:100,gidmapping=:2000:0:50:2050:50:50');
    expect([owner('m/top'), owner('m/bottom')]).toEqual(['5:6', `${NOBODY}:${NOBODY}`]);
    writeFileSync(ground.at('m/new'), '');
    chownSync(ground.at('m/top'), 7, 60);
    expect([owner('U/new'), owner('U/top')]).toEqual(['1000:2000', '1007:2060']);
  });

  test('timeout=0 shows what changes in the layers underneath', () => {
    mount('timeout=0', {}, 'lowerdir=A');
    expect(lstatSync(ground.at('m/top')).size).toBe(3);
    writeFileSync(ground.at('A/top'), 'longer');
    expect(lstatSync(ground.at('m/top')).size).toBe(6);
    expect(readFileSync(ground.at('m/top'), 'utf8')).toBe('longer');
  });

  test.each(['fsync=0', 'volatile'])('%s answers fsync without reaching the disk, and leaves no mark', (option) => {
    mount(option);
    const counted = () => /^FSYNC +(\d+)/m.exec(ground.lamina('stats', 'm').stdout)?.[1] ?? '0';
    for (const name of ['a', 'b', 'c']) {
      expect(ground.run(['dd', 'if=/dev/zero', `of=m/${name}`, 'count=1', 'conv=fsync']).code).toBe(0);
    }
    // The kernel takes the first answer, "not implemented", for success and does not ask again.
    expect(Number(counted())).toBeLessThanOrEqual(1);
    umount();
    expect(existsSync(ground.at('W/work/incompat'))).toBe(false);
    mount('');
  });

  test('FUSE_OVERLAYFS_DISABLE_OVL_WHITEOUT has whiteouts written as .wh.NAME', () => {
    mount('', { FUSE_OVERLAYFS_DISABLE_OVL_WHITEOUT: '1' });
    ground.run(['rm', 'm/top']);
    expect(readdirSync(ground.at('U'))).toEqual(['.wh.top']);
  });

  test('lowerdir takes colons and commas behind a backslash', () => {
    mkdirSync(ground.at('x:y,z'));
    writeFileSync(ground.at('x:y,z/found'), '');
    mount('', {}, 'lowerdir=x\\:y\\,z:B');
    expect(readdirSync(ground.at('m'))).toEqual(['bottom', 'dir', 'found']);
  });

  test.each([
    ['nosuid', /rw,nosuid,/],
    ['suid,dev', /^(?!.*nosuid)(?!.*nodev)/],
    ['nodev', /rw,nodev,/],
    ['noexec', /rw,noexec,/],
    ['atime', / rw,relatime,/],
    ['nodiratime', /noatime,nodiratime,/],
    ['ro', / ro,/],
  ])('%s is the kernel’s', (option, shown) => {
    mount(option);
    const line = readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .find((mounted) => mounted.includes(`${ground.at('m')} `));
    expect(line).toMatch(shown);
  });

  test.each(['threaded=1', 'threaded=0', 'writeback=0', 'writeback=1', 'fast_ino=1', 'xino=off', 'redirect_dir=off'])(
    '%s changes nothing that a user sees',
    (option) => {
      mount(`${option},default_permissions,kernel_cache,max_write=65536,splice_read,context=x`);
      writeFileSync(ground.at('m/dir/lower'), 'changed');
      expect(readFileSync(ground.at('U/dir/lower'), 'utf8')).toBe('changed');
    },
  );

  test.each(['-d', '--debug', '-f'])('%s stays in the foreground', async (flag) => {
    const { child, end } = ground.startFuseLamina(flag, '-o', WRITABLE, 'm');
    await expect.poll(() => ground.mounted, { timeout: 20_000 }).toEqual(['m']);
    expect(child.exitCode).toBe(null);
    expect(spawnSync('umount', [ground.at('m')]).status).toBe(0);
    expect((await end).code).toBe(0);
  });

  test('an unknown option is told and passed over by fuse-lamina, and an error of lamina mount', () => {
    const lenient = ground.fuseLamina('-o', `${WRITABLE},unheard_of=1`, 'm');
    expect(lenient).toEqual({ code: 0, stdout: '', stderr: 'unknown argument ignored: unheard_of=1\n' });
    umount();
    const strict = ground.lamina('mount', '-o', `${WRITABLE},unheard_of=1`, 'm');
    expect(strict).toMatchObject({
      code: 1,
      stderr: expect.stringMatching(/^lamina: unknown mount option: unheard_of=1/) as string,
    });
  });
});
