import { spawnSync } from 'node:child_process';
import { accessSync, constants, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findHierarchies, ownView } from '../../runner/container/cgroup/hierarchies.ts';
import { sitesOf } from '../../runner/container/cgroup/sites.ts';
import { DIST } from './paths.ts';

/** Why something cannot be tested here; undefined where it can. */
export type Missing = string | undefined;

function once(probe: () => Missing): () => Missing {
  let known: { readonly answer: Missing } | undefined;
  return () => (known ??= { answer: probe() }).answer;
}

function run(...command: readonly [string, ...string[]]): Missing {
  const [file, ...parameters] = command;
  const done = spawnSync(file, parameters, { encoding: 'utf8' });
  if (done.error !== undefined) return `${file} cannot be started: ${done.error.message}`;
  return done.status === 0 ? undefined : done.stderr.trim().split('\n', 1)[0] || `${file} failed`;
}

/** The first reason of several. */
export function firstMissing(...reasons: readonly Missing[]): Missing {
  return reasons.find((reason) => reason !== undefined);
}

/** A title that says why a test is skipped. */
export function titled(title: string, missing: Missing): string {
  return missing === undefined ? title : `${title} [skipped: ${missing}]`;
}

export const isRoot = once(() => (process.getuid?.() === 0 ? undefined : 'needs root'));

export const hasFuseDevice = once(() => {
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
    return undefined;
  } catch (error) {
    return `needs /dev/fuse: ${error instanceof Error ? error.message : String(error)}`;
  }
});

/** The optional dependency, which has a build for few platforms. */
export const hasFuseNative = once(() => {
  try {
    createRequire(import.meta.url)('fuse-native');
    return undefined;
  } catch (error) {
    return `needs fuse-native: ${error instanceof Error ? error.message.split('\n', 1)[0] : String(error)}`;
  }
});

/** Kernel overlayfs with all features on, on the filesystem that the tests' temporary directories are on. */
export const hasKernelOverlay = once(() => {
  const base = mkdtempSync(join(tmpdir(), 'lamina-probe-'));
  const script =
    'mkdir l u w m && mount -t overlay overlay -o lowerdir=l,upperdir=u,workdir=w,redirect_dir=on,index=on,xino=on,metacopy=on m';
  const failure = run('unshare', '--mount', 'sh', '-c', `cd ${base} && ${script}`);
  rmSync(base, { recursive: true });
  return failure === undefined ? undefined : `needs kernel overlayfs: ${failure}`;
});

/** Only a mount tells; whatever else fails then is for the tests to show. */
export const hasPassthrough = once(() => {
  const base = mkdtempSync(join(tmpdir(), 'lamina-probe-'));
  const script = 'mkdir l m && "$0" -o lowerdir=l,passthrough=on m && umount m';
  const failure = run('sh', '-c', `cd ${base} && ${script}`, join(DIST, 'cli/fuse-lamina'));
  rmSync(base, { recursive: true });
  return failure?.includes('the kernel has none') === true ? 'needs FUSE passthrough (Linux 6.9)' : undefined;
});

/** User namespaces in which one may mount: creating one succeeds where AppArmor then forbids its use. */
export const hasUserNamespaces = once(() => {
  const failure = run('unshare', '--user', '--map-root-user', '--mount', 'mount', '-t', 'tmpfs', 'none', '/mnt');
  return failure === undefined ? undefined : `needs user namespaces: ${failure}`;
});

/** CAP_SYS_RESOURCE, for a hard limit above one's own. */
export const mayRaiseLimits = once(() => {
  const failure = run('sh', '-c', 'ulimit -n 256 && ulimit -n 512');
  return failure === undefined ? undefined : `needs CAP_SYS_RESOURCE: ${failure}`;
});

/** Kernel overlayfs mounted by who is root in a user namespace only (Linux 5.11). */
export const hasRootlessKernelOverlay = once(() => {
  const script =
    'mount -t tmpfs none /mnt && cd /mnt && mkdir l u w m && ' +
    'mount -t overlay overlay -o lowerdir=l,upperdir=u,workdir=w,userxattr m';
  const failure = run('unshare', '--user', '--map-root-user', '--mount', 'sh', '-c', script);
  return failure === undefined ? undefined : `needs kernel overlayfs in user namespaces: ${failure}`;
});

/** A program on the PATH. */
export function has(program: string): Missing {
  return spawnSync('sh', ['-c', `command -v ${program}`]).status === 0 ? undefined : `needs ${program}`;
}

/** A hierarchy of control groups with this controller, in which we may make groups. */
export function hasCgroups(controller: string): Missing {
  const sites = sitesOf(findHierarchies(ownView()), undefined);
  const site = sites.find(({ hierarchy }) => hierarchy.controllers.includes(controller));
  if (site === undefined) return `needs control groups with the ${controller} controller`;
  const group = join(site.hierarchy.own, `lamina-probe-${process.pid}`);
  const failure = run('sh', '-c', `mkdir ${group} && rmdir ${group}`);
  return failure === undefined ? undefined : `needs control groups that may be made: ${failure}`;
}

/** @param source where the file comes from. */
export function hasFile(path: string, source: string): Missing {
  return existsSync(path) ? undefined : `needs ${path} (${source})`;
}
