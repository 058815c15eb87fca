import { readFileSync } from 'node:fs';
import { arch, release } from 'node:os';
import { errnoName } from '../../fs/sys/errno.ts';
import { type Check, no, partly, yes } from './check.ts';
import { type Trial } from './trial.ts';

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    return undefined;
  }
}

export function checkVersions(): Check {
  return yes('versions', `Linux ${release()} ${arch()}, Node ${process.versions.node}`);
}

export function checkOverlay({ overlay, whiteoutDevice, xattr }: Trial, isRootless: boolean): Check[] {
  return [describeOverlay(overlay, isRootless), describeStore(whiteoutDevice, xattr, isRootless)];
}

function describeOverlay(overlay: number, isRootless: boolean): Check {
  const name = isRootless ? 'kernel overlayfs in a user namespace' : 'kernel overlayfs';
  if (overlay === 0) return yes(name, 'mounts over the store, and removes and replaces files');
  if (!knows('overlay')) return no(name, 'the kernel has none', 'as root: modprobe overlay');
  const why = isRootless ? 'since Linux 5.11, on filesystems with user xattrs' : 'the store must not lie on overlayfs';
  return no(name, `refused for the store (${errnoName(-overlay)}): it works ${why}`);
}

function describeStore(whiteoutDevice: number, xattr: number, isRootless: boolean): Check {
  const name = 'filesystem of the store';
  const missing = [
    ...(whiteoutDevice < 0 ? [`no whiteout devices (${errnoName(-whiteoutDevice)})`] : []),
    ...(xattr < 0 ? [`no ${isRootless ? 'user' : 'trusted'} xattrs (${errnoName(-xattr)})`] : []),
  ];
  if (missing.length === 0) return yes(name, 'whiteout devices and xattrs');
  const detail = `${missing.join(', ')}: deleted files are marked by files named .wh.NAME`;
  return partly(name, detail, 'set LAMINA_ROOT to a directory on ext4, xfs or btrfs');
}

export function checkAufs(): Check {
  return knows('aufs') ? yes('AUFS', 'the kernel has it') : no('AUFS', 'the kernel has none; nothing needs it');
}

/** Whether a filesystem is in the kernel, or a module of it is loaded. */
function knows(filesystem: string): boolean {
  const known = (readText('/proc/filesystems') ?? '').split('\n').map((line) => line.split('\t').at(-1));
  return known.includes(filesystem);
}

export function checkUring(): Check {
  const name = 'FUSE over io_uring';
  const enabled = readText('/sys/module/fuse/parameters/enable_uring');
  if (enabled === undefined)
    return no(name, 'the kernel has none (Linux 6.14); lamina gains nothing by it and does without');
  const detail = `the kernel has it, ${enabled === 'Y' ? 'switched on' : 'switched off'}; lamina gains nothing by it and does without`;
  return enabled === 'Y' ? yes(name, detail) : no(name, detail);
}

export function checkPivotRoot({ pivotRoot }: Trial): Check {
  const name = 'pivot_root';
  if (pivotRoot === 0) return yes(name, 'allowed');
  const detail = `refused (${errnoName(-pivotRoot)}): containers get their root by MS_MOVE or chroot`;
  return partly(name, detail, 'run lamina outside of a chroot, or from a root that is not the initial ramfs');
}

export function checkProc(canMount: boolean): Check {
  const name = '/proc in a container';
  if (canMount) return yes(name, 'can be mounted');
  return no(
    name,
    'refused, as where parts of the own /proc are masked',
    'start the outer container with --security-opt systempaths=unconfined (docker), --security-opt unmask=ALL (podman)',
  );
}
