import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { toBytes } from '../../fs/index.ts';
import { MNT_DETACH, MS_BIND, MS_PRIVATE, MS_RDONLY, MS_REC, UMOUNT_NOFOLLOW } from '../../fs/sys/constants.ts';
import { check } from '../../fs/sys/errno.ts';
import { mount, umount } from '../../fs/sys/mount.ts';
import { readMounts } from '../../fs/sys/mountinfo.ts';

// What the kernel makes up, which a container has of its own, and what we serve ourselves: a union that reads its own
// mount waits for itself for ever.
const LEFT_OUT: ReadonlySet<string> = new Set([
  ...['proc', 'sysfs', 'devtmpfs', 'devpts', 'mqueue', 'cgroup', 'cgroup2', 'securityfs', 'debugfs', 'tracefs'],
  ...['bpf', 'pstore', 'efivarfs', 'configfs', 'fusectl', 'binfmt_misc', 'hugetlbfs', 'autofs', 'rpc_pipefs', 'nsfs'],
  'fuse.lamina',
]);

/**
 * Shows a directory of the host, with all real filesystems that are mounted in it, once more at `at`: the lower layer of a
 * union over it. Call it in a private mount namespace, before the union is mounted, which so has no part in it.
 *
 * @param store hidden: a walk through the union is not to come to the union's own layers.
 */
export function mountHostTree(root: string, at: string, store: string): void {
  mkdirSync(at, { recursive: true, mode: 0o700 });
  const target = toBytes(at);
  check(mount(toBytes(root), target, '', MS_BIND | MS_REC), `bind ${root} on ${at}`);
  check(mount('', target, '', MS_REC | MS_PRIVATE), `separate ${at} from ${root}`);
  const inside = readMounts().filter(({ mountpoint }) => mountpoint.startsWith(`${target}/`));
  for (const { type, mountpoint } of inside.reverse()) {
    // A user namespace may not uncover what lies below: a container's own mounts cover it.
    if (LEFT_OUT.has(type)) umount(mountpoint, MNT_DETACH | UMOUNT_NOFOLLOW);
  }
  hide(root, at, store);
}

function hide(root: string, at: string, store: string): void {
  const prefix = root === '/' ? '/' : `${root}/`;
  if (!store.startsWith(prefix)) return;
  const place = join(at, store.slice(prefix.length));
  if (!existsSync(place)) return;
  check(mount('lamina', toBytes(place), 'tmpfs', MS_RDONLY, 'size=0k,mode=700'), `hide the store in ${at}`);
}
