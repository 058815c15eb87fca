import { OptionError } from './option-error.ts';
import type { OverlayOptions } from './overlay/options.ts';

/** Two options that overlayfs does not take together where both were given (fs/overlayfs/params.c, ovl_fs_params_verify). */
interface Conflict {
  readonly options: (overlay: OverlayOptions) => string;
  readonly meets: (overlay: OverlayOptions) => boolean;
  readonly reason: string;
}

const CONFLICTS: readonly Conflict[] = [
  {
    options: ({ redirectDir }) => `metacopy=on,redirect_dir=${redirectDir}`,
    // Without an upper nothing is renamed, and `follow` is all there is.
    meets: ({ metacopy, redirectDir, upper }) =>
      metacopy === true &&
      redirectDir !== undefined &&
      redirectDir !== 'on' &&
      !(redirectDir === 'follow' && upper === undefined),
    reason: 'a metacopy that is renamed needs a redirect to its data',
  },
  {
    options: () => 'nfs_export=on,index=off',
    meets: ({ nfsExport, index }) => nfsExport === true && index === false,
    reason: 'overlayfs needs the index to find the file of a handle',
  },
  {
    options: () => 'nfs_export=on,metacopy=on',
    meets: ({ nfsExport, metacopy }) => nfsExport === true && metacopy === true,
    reason: 'overlayfs does not export metacopies',
  },
  {
    options: ({ redirectDir }) => `userxattr,redirect_dir=${redirectDir}`,
    meets: ({ userXattr, redirectDir }) =>
      userXattr === true && redirectDir !== undefined && redirectDir !== 'nofollow',
    reason: 'overlayfs follows no redirect that an ordinary user could have written',
  },
  {
    options: () => 'userxattr,metacopy=on',
    meets: ({ userXattr, metacopy }) => userXattr === true && metacopy === true,
    reason: 'overlayfs follows no metacopy that an ordinary user could have written',
  },
];

/**
 * Refuses what overlayfs refuses, so that a list of options means the same to both.
 *
 * @throws OptionError naming both options.
 */
export function checkConflicts(overlay: OverlayOptions): void {
  for (const { options, meets, reason } of CONFLICTS) {
    if (meets(overlay)) throw new OptionError(`conflicting options: ${options(overlay)} (${reason}); leave one out`);
  }
}
