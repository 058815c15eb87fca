import { spawnSync } from 'node:child_process';
import { chmodSync, chownSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';

import { Lamina, makeUser, removeUser, type User } from '../container/lamina.ts';
import {
  firstMissing,
  has,
  hasFuseDevice,
  hasKernelOverlay,
  hasUserNamespaces,
  isRoot,
  titled,
} from '../support/requirements.ts';
import { ociArchive } from './archives.ts';
import { LAYERS } from './exchanged-layers.ts';
import { run, snapshot, temporary } from './ground.ts';
import { belowRoot } from './others.ts';

const programs = ['podman', 'useradd', 'setpriv', 'newuidmap'].map(has);
const missing = firstMissing(isRoot(), hasFuseDevice(), hasUserNamespaces(), hasKernelOverlay(), ...programs);
const START = 740_000_000;

describe.skipIf(missing)(titled('an image that an ordinary user loads', missing), () => {
  let user: User;
  let lamina: Lamina;

  beforeAll(() => {
    user = makeUser('lamina-exchange', { start: START, count: 200_000 });
    lamina = new Lamina(user);
  });

  afterAll(async () => {
    await lamina.close();
    removeUser(user.name);
  });

  /** podman of the user, with a store that needs no mounts. */
  function podman(base: string, ...args: readonly string[]): string {
    const own = ['--root', join(base, 'root'), '--runroot', join(base, 'run'), '--storage-driver', 'vfs'];
    const quiet = ['--events-backend', 'file', '--cgroup-manager', 'cgroupfs', '--log-level', 'error'];
    const become = [`--reuid=${user.name}`, `--regid=${user.uid}`, '--init-groups', '--reset-env'];
    const env = ['env', `HOME=${base}`, `XDG_RUNTIME_DIR=${join(base, 'runtime')}`];
    return run(
      'setpriv',
      ...become,
      ...env,
      'sh',
      '-c',
      'cd / && exec podman "$@"',
      'sh',
      ...own,
      ...quiet,
      ...args,
    ).trim();
  }

  test('is on disk what podman makes of it: owners, modes, times to the nanosecond, attributes, links', async () => {
    const base = temporary();
    // The process that keeps the user's namespaces.
    onTestFinished(() => void podman(base, 'system', 'migrate'));
    for (const path of [base, join(base, 'runtime')]) {
      mkdirSync(path, { recursive: true });
      chownSync(path, user.uid, user.uid);
    }
    const archive = join(base, 'image.tar');
    writeFileSync(
      archive,
      ociArchive({ layers: LAYERS, names: ['docker.io/library/app:1'] }, (layer) => gzipSync(layer)),
    );
    chmodSync(archive, 0o644);
    podman(base, 'load', '--quiet', '--input', archive);
    const own = ['--root', join(base, 'root'), '--runroot', join(base, 'run'), '--storage-driver', 'vfs'];
    const mounted = podman(base, 'unshare', 'podman', ...own, 'image', 'mount', 'docker.io/library/app:1');
    const reference = belowRoot(snapshot(mounted));
    expect((await lamina.call(['load', '-i', archive])).code).toBe(0);
    const [image] = JSON.parse((await lamina.call(['image', 'inspect', 'app:1'])).stdout) as [
      { GraphDriver: { Data: { UpperDir: string; LowerDir: string } } },
    ];
    const { UpperDir, LowerDir } = image.GraphDriver.Data;
    const mountpoint = temporary();
    run('mount', '-t', 'overlay', 'overlay', '-o', `userxattr,lowerdir=${UpperDir}:${LowerDir}`, mountpoint);
    const found = snapshot(mountpoint);
    spawnSync('umount', [mountpoint]);
    expect(belowRoot(found)).toEqual(reference);
    // Owners of the image, as they are outside.
    expect(reference.join('\n')).toMatch(new RegExp(`^etc \\d+ ${START + 11}:${START + 34} `, 'm'));
    expect(reference.join('\n')).toMatch(/^etc\/times .* 1600000004123456789 /m);
  });
});
