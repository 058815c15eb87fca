import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { type Driver } from '../container/driver/choice.ts';
import { isRootless } from '../container/userns.ts';
import { prepareRoot, storeRoot } from '../image/store-root.ts';
import { type Check } from './check.ts';
import { checkCgroups } from './control-groups.ts';
import { checkFuse, checkHelper } from './fuse.ts';
import { checkAufs, checkOverlay, checkPivotRoot, checkProc, checkUring, checkVersions } from './kernel.ts';
import { checkFuseNative, checkInit, checkNetwork, checkSeccomp } from './programs.ts';
import { canMountProc, runTrial } from './run-trial.ts';
import { type Trial } from './trial.ts';
import { checkIds, checkNamespaces } from './users.ts';

/** What this host can do. */
export interface Diagnosis {
  readonly checks: readonly Check[];
  /** What is best here; undefined where no container can run at all. */
  readonly driver: Driver | undefined;
  readonly why: string;
}

/** Looks at the host, and tries what cannot be seen. Call it before `enterUserNamespace`. */
export async function diagnose(): Promise<Diagnosis> {
  const rootless = isRootless();
  const root = storeRoot();
  prepareRoot(root);
  mkdirSync(join(root, 'tmp'), { recursive: true, mode: 0o700 });
  const trial = runTrial(root, rootless);
  const checks = [
    checkVersions(),
    checkNamespaces(trial, rootless),
    checkIds(rootless),
    ...(typeof trial === 'string' ? [] : checkTrial(trial, rootless)),
    checkHelper(),
    checkAufs(),
    checkUring(),
    checkCgroups(rootless),
    checkNetwork(),
    checkSeccomp(),
    checkInit(),
    await checkFuseNative(),
  ];
  return { checks, ...recommend(trial) };
}

function checkTrial(trial: Trial, rootless: boolean): Check[] {
  return [
    ...checkFuse(trial),
    ...checkOverlay(trial, rootless),
    checkPivotRoot(trial),
    checkProc(canMountProc(rootless)),
  ];
}

function recommend(trial: Trial | string): { readonly driver: Driver | undefined; readonly why: string } {
  if (typeof trial === 'string' || trial.tmpfs < 0) {
    return { driver: undefined, why: 'containers need namespaces, which cannot be had' };
  }
  const { overlay, fuse } = trial;
  if (overlay === 0) {
    const spare = fuse === 0 ? '; union, the default, works too, and shows what it does' : '';
    return { driver: 'overlay', why: `kernel overlayfs works here and is the fastest${spare}` };
  }
  if (fuse === 0) return { driver: 'union', why: 'FUSE works here, and kernel overlayfs does not' };
  return {
    driver: 'vfs',
    why: 'neither FUSE nor kernel overlayfs works here: each container gets a copy of its image',
  };
}
