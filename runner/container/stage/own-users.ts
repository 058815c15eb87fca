import { basename, dirname } from 'node:path';
import { toBytes } from '../../../fs/sys/bytes.ts';
import { MS_BIND, O_CLOEXEC, O_PATH } from '../../../fs/sys/constants.ts';
import { check } from '../../../fs/sys/errno.ts';
import { openat } from '../../../fs/sys/file.ts';
import { mount } from '../../../fs/sys/mount.ts';
import { PR_SET_DUMPABLE, prctl, setresgid, setresuid } from '../../../fs/sys/process.ts';
import { type StageSpec, type Volume } from '../spec.ts';
import { throughFd } from './inside.ts';
import { dieWithClient } from './stage.ts';

// In a user namespace of the container's own the stage is the caller at first, who may have no id in there and still
// reaches files as himself. What it makes and mounts for the container is to be the root's of that.

/**
 * Opens what the container's root need not be able to reach, and answers the spec with descriptors in the place of paths.
 * They are closed by execve(2).
 */
export function holdFiles(spec: StageSpec): StageSpec {
  const { rootfs, process, mounts } = spec;
  // What is inherited from a mount namespace of others is locked in its place, and can be no root.
  check(mount(toBytes(rootfs), toBytes(rootfs), '', MS_BIND), `bind ${rootfs} to itself`);
  const volumes = mounts.volumes.map((volume) =>
    volume.type === 'tmpfs' ? volume : { ...volume, source: holdSource(volume) },
  );
  return {
    ...spec,
    rootfs: hold(rootfs),
    process: { ...process, passwdFile: hold(process.passwdFile), groupFile: hold(process.groupFile) },
    mounts: { ...mounts, volumes },
  };
}

/** Who fills a volume needs what lies beside it. */
function holdSource({ source, populate }: Volume): string {
  return populate === true ? `${hold(dirname(source))}/${basename(source)}` : hold(source);
}

function hold(path: string): string {
  return throughFd(check(openat(-1, toBytes(path), O_PATH | O_CLOEXEC), `open ${path}`));
}

/** Becomes the container's root, with all capabilities in its user namespace. */
export function becomeRoot(): void {
  check(setresgid(0), "become the container's root group");
  check(setresuid(0), "become the container's root");
  // The change has undone both.
  dieWithClient();
  check(prctl(PR_SET_DUMPABLE, 0), 'become undumpable');
}
