import { spawnSync } from 'node:child_process';
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Check } from '../../runner/doctor/check.ts';
import { type Diagnosis } from '../../runner/doctor/doctor.ts';
import { DIST } from '../support/paths.ts';
import { firstMissing, has, hasFuseDevice, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';
import { Lamina, type User } from './lamina.ts';

const LONG = { timeout: 60_000 };
const missing = firstMissing(isRoot(), has('unshare'));

function verdicts(checks: readonly Check[]): Record<string, string> {
  return Object.fromEntries(checks.map(({ name, verdict }) => [name, verdict]));
}

describe.skipIf(missing)(titled('lamina doctor', missing), () => {
  const lamina = missing ? undefined : new Lamina();

  afterAll(() => lamina?.close());

  /** On a machine that `prepare`, a line of shell in a mount namespace of its own, has made. */
  function onMachine(prepare: string): { readonly diagnosis: Diagnosis; readonly status: number | null } {
    const program = [process.execPath, join(DIST, 'cli/lamina.js'), 'doctor', '--json'];
    const { stdout, stderr, status } = spawnSync(
      'unshare',
      ['--mount', 'sh', '-ec', `${prepare}; exec "$@"`, 'sh', ...program],
      { encoding: 'utf8', env: { ...process.env, LAMINA_ROOT: lamina?.root } },
    );
    if (stdout === '') throw new Error(stderr);
    return { diagnosis: JSON.parse(stdout) as Diagnosis, status };
  }

  const noFuse = hasFuseDevice();

  test.skipIf(noFuse)(titled('finds what works, and leaves nothing in the store', noFuse), LONG, () => {
    const { diagnosis, status } = onMachine('true');
    expect(status).toBe(0);
    expect(verdicts(diagnosis.checks)).toMatchObject({
      'mount namespaces': 'yes',
      'subordinate ids': 'yes',
      '/dev/fuse': 'yes',
      'mounting FUSE': 'yes',
      'filesystem of the store': 'yes',
    });
    expect(readdirSync(join(lamina?.root ?? '', 'tmp'))).toEqual([]);
  });

  test('says what is missing, and the command that mends it', LONG, () => {
    const hide = ['/dev/fuse', '/dev/net/tun'].map((path) => `[ ! -e ${path} ] || mount --bind /dev/null ${path}`);
    const { diagnosis } = onMachine(hide.join('; '));
    const fuse = diagnosis.checks.find(({ name }) => name === 'mounting FUSE');
    expect(fuse).toMatchObject({ verdict: 'no', remedy: expect.stringContaining('--device /dev/fuse') as string });
    expect(diagnosis.driver).not.toBe('union');
  });

  test('tries the store where it lies: overlayfs takes no upper on overlayfs', LONG, () => {
    const layers = 'lowerdir=/mnt/l,upperdir=/mnt/u,workdir=/mnt/w';
    const over = `mount -t overlay none -o ${layers} ${lamina?.root ?? ''}`;
    const { diagnosis } = onMachine(`mount -t tmpfs none /mnt; mkdir /mnt/l /mnt/u /mnt/w; ${over}`);
    expect(verdicts(diagnosis.checks)).toMatchObject({ 'kernel overlayfs': 'no', 'filesystem of the store': 'partly' });
    expect(diagnosis.driver).not.toBe('overlay');
  });

  test('prints a table, and what it recommends', LONG, async () => {
    const { code, stdout } = (await lamina?.call(['doctor'])) ?? { code: -1, stdout: '' };
    expect(code).toBe(0);
    expect(stdout).toMatch(/^yes +versions +Linux /);
    expect(stdout).toMatch(/^Recommended: --driver (overlay|union|vfs): /m);
  });
});

const noUser = firstMissing(isRoot(), hasFuseDevice(), hasUserNamespaces(), has('useradd'), has('newuidmap'));

describe.skipIf(noUser)(titled('lamina doctor of an ordinary user', noUser), () => {
  const user: User = { name: 'lamina-doctor', uid: 4710 };
  let lamina: Lamina;

  beforeAll(() => {
    spawnSync('useradd', ['--create-home', '--uid', String(user.uid), user.name]);
    lamina = new Lamina(user);
  });

  afterAll(async () => {
    await lamina.close();
    spawnSync('userdel', ['--remove', user.name]);
  });

  test('tries in a user namespace', LONG, async () => {
    const { code, stdout } = await lamina.call(['doctor', '--json']);
    expect(code).toBe(0);
    const { checks } = JSON.parse(stdout) as Diagnosis;
    expect(verdicts(checks)).toMatchObject({
      'user namespaces': 'yes',
      'mounting FUSE': 'yes',
      'FUSE passthrough': 'partly',
    });
  });

  test('says that there are no user namespaces, with the setting that gives them', LONG, () => {
    const store = mkdtempSync(join(tmpdir(), 'lamina-doctor-'));
    // A namespace whose own limit is zero, as where the machine's is, and in it root without a capability.
    const script = 'echo 0 >/proc/sys/user/max_user_namespaces; exec setpriv --bounding-set=-all --inh-caps=-all "$@"';
    const program = [process.execPath, join(DIST, 'cli/lamina.js'), 'doctor'];
    const { stdout, status } = spawnSync(
      'unshare',
      ['--user', '--map-root-user', 'sh', '-c', script, 'sh', ...program],
      { encoding: 'utf8', env: { ...process.env, LAMINA_ROOT: store } },
    );
    rmSync(store, { recursive: true });
    expect(status).toBe(1);
    expect(stdout).toContain('sysctl -w user.max_user_namespaces');
  });
});
