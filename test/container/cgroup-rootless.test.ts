import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildArchive } from '../../runner/demo/image.ts';
import { DIST } from '../support/paths.ts';
import { firstMissing, has, hasFuseDevice, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';
import { type User, ended, makeUser, recipe, removeUser } from './lamina.ts';

const SYSTEMD = '/usr/lib/systemd/systemd';

const missing = firstMissing(isRoot(), hasFuseDevice(), hasUserNamespaces(), has('setpriv'), hasUnified());
const hasSystemd = existsSync(SYSTEMD) ? undefined : 'needs systemd';

function hasUnified(): string | undefined {
  return execFileSync('cat', ['/proc/filesystems'], { encoding: 'utf8' }).includes('cgroup2')
    ? undefined
    : 'needs cgroup version 2';
}

// A machine with version 2 alone, whose controllers are few where version 1 has taken them, and a group that belongs to
// the user, as systemd delegates one at login. The last line removes it with all that is left, and prints what that was.
const MACHINE = `
set -u
uid=$1 user=$2 group=/sys/fs/cgroup/$3 script=$4
mount -t cgroup2 none /sys/fs/cgroup
mount -t tmpfs none /run
mount -t tmpfs none /mnt && mknod -m 666 /mnt/fuse c 10 229 && mount --bind /mnt/fuse /dev/fuse && umount -l /mnt
mkdir -p /run/user/$uid /run/systemd/system
mkdir $group
chown $uid /run/user/$uid $group $group/cgroup.procs $group/cgroup.subtree_control
chmod 700 /run/user/$uid
echo $$ >$group/cgroup.procs
export XDG_RUNTIME_DIR=/run/user/$uid
setpriv --reuid=$uid --regid=$uid --init-groups sh -c "$script"
echo $$ >/sys/fs/cgroup/cgroup.procs
while [ -n "$(cat $group/cgroup.procs)" ]; do sleep 0.1; done
find $group -mindepth 1 -type d | sed "s/^/left: /"
find $group -depth -type d -exec rmdir {} +
`;

describe.skipIf(missing)(titled('control groups of an ordinary user', missing), () => {
  let user: User;
  let directory = '';

  beforeAll(async () => {
    user = makeUser('laminacg', { start: 910_000, count: 65_536 });
    directory = mkdtempSync(join(tmpdir(), 'lamina-cgroup-'));
    chmodSync(directory, 0o755);
    const archive = join(directory, 'image.tar');
    writeFileSync(archive, await buildArchive(await recipe('tiny')), { mode: 0o644 });
    mkdirSync(join(directory, 'store'), { mode: 0o700 });
    chownSync(join(directory, 'store'), user.uid, user.uid);
  });

  afterAll(() => {
    rmSync(directory, { recursive: true, force: true });
    removeUser('laminacg');
  });

  /** Runs a script as the user, in which `lamina` is the program, on a machine of its own. */
  function onMachine(script: string): ChildProcess {
    const lamina = `lamina() { ${process.execPath} ${join(DIST, 'cli/lamina.js')} "$@"; }; cd /`;
    const group = `lamina-rootless-${process.pid}`;
    const parameters = [String(user.uid), user.name, group, `${lamina}\n${script}`];
    return spawn('unshare', ['--mount', 'sh', '-c', MACHINE, 'sh', ...parameters], {
      env: { PATH: process.env['PATH'], HOME: `/home/${user.name}`, LAMINA_ROOT: join(directory, 'store') },
    });
  }

  // The container's own root of the hierarchy, its group from outside, that it can be paused, and what cannot be limited.
  const life = (): string => `
    lamina load -i ${join(directory, 'image.tar')} >/dev/null
    mkfifo $XDG_RUNTIME_DIR/ready
    lamina run --rm --network host --name x tiny sh -c 'cat /proc/self/cgroup | while read -r line; do case $line in 0::*) echo inside $line;; esac; done; echo ready >&2; while :; do sleep 0.1; done' 2>$XDG_RUNTIME_DIR/ready &
    client=$!
    read -r line <$XDG_RUNTIME_DIR/ready; echo $line
    find /sys/fs/cgroup/lamina-rootless* -type d -name '????????????????????????????????????????????????????????????????'
    lamina pause x && lamina unpause x
    lamina rm -f x
    wait $client
    lamina run --rm --network host --memory 100m tiny true; echo code $?
  `;

  test('in a group that is delegated to the user: below it, paused and removed', { timeout: 30_000 }, async () => {
    const { stdout, stderr } = await ended(onMachine(life()));
    const [, path = ''] = /^(\/sys\/.*)$/m.exec(stdout) ?? [];
    expect(path).toMatch(/^\/sys\/fs\/cgroup\/lamina-rootless-\d+\/lamina\/[0-9a-f]{64}$/);
    expect(
      stdout
        .replace(path, 'PATH')
        .split('\n')
        .filter((line) => !line.startsWith('left')),
    ).toEqual(['inside 0::/', 'ready', 'PATH', 'x', 'x', 'x', 'code 125', '']);
    expect(stderr).toMatch(/lamina: --memory cannot be set: there is no control group with the memory controller/);
    // Two that hold groups of others, empty.
    expect(
      stdout
        .match(/^left: .*$/gm)
        ?.map((line) => line.split('/').at(-1))
        .sort(),
    ).toEqual(['lamina', 'lamina-init']);
  });

  test.skipIf(hasSystemd)(
    titled('where the group is systemd’s: in a scope that it delegates, which goes with the container', hasSystemd),
    { timeout: 30_000 },
    async () => {
      const systemd = `
        ${SYSTEMD} --user >/dev/null 2>&1 & systemd=$!
        while [ ! -S $XDG_RUNTIME_DIR/systemd/private ]; do sleep 0.05; done
        ${life()}
        while ls -d /sys/fs/cgroup/lamina-rootless*/app.slice/lamina-*.scope >/dev/null 2>&1; do sleep 0.05; done
        kill $systemd; wait $systemd
      `;
      const { stdout, stderr } = await ended(onMachine(systemd));
      const [, path = ''] = /^(\/sys\/.*)$/m.exec(stdout) ?? [];
      expect(path).toMatch(/\/app\.slice\/lamina-([0-9a-f]{64})-\d+\.scope\/\1$/);
      expect(
        stdout
          .replace(path, 'PATH')
          .split('\n')
          .filter((line) => !line.startsWith('left')),
      ).toEqual(['inside 0::/', 'ready', 'PATH', 'x', 'x', 'x', 'code 125', '']);
      expect(stderr).toMatch(/lamina: --memory cannot be set: .*systemctl edit user@.service/);
      expect(stdout).not.toMatch(/left: .*lamina-[0-9a-f]/);
    },
  );
});
