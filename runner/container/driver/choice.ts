import { accessSync, constants, mkdirSync } from 'node:fs';
import { describeErrno } from '../../../fs/sys/errno.ts';
import { type Store } from '../../image/store.ts';
import { isRootless } from '../userns.ts';
import { tryOverlay } from './overlay.ts';

/** What serves a container's root: lamina's union, kernel overlayfs, or a copy of the image. */
export const DRIVERS = ['union', 'overlay', 'vfs'] as const;
export type Driver = (typeof DRIVERS)[number];

/** `auto`: kernel overlayfs where it works over the store, else the union, else a copy. */
export const DRIVER_CHOICES = [...DRIVERS, 'auto'] as const;
export type DriverChoice = (typeof DRIVER_CHOICES)[number];

/** What is asked for, else what LAMINA_DRIVER says, else the union. */
export function wantedDriver(given: DriverChoice | undefined): DriverChoice {
  const { LAMINA_DRIVER: preferred } = process.env;
  if (given !== undefined) return given;
  if (preferred === undefined || preferred === '') return 'union';
  const known = DRIVER_CHOICES.find((choice) => choice === preferred);
  if (known !== undefined) return known;
  throw new Error(`LAMINA_DRIVER is ${JSON.stringify(preferred)}, which is none of ${DRIVER_CHOICES.join(', ')}`);
}

/**
 * The driver that a new container gets, and keeps. Call it where `enterUserNamespace` has been.
 *
 * @param hasOwnUsers its users are others outside.
 * @throws where kernel overlayfs is asked for and does not work over the store.
 */
export function settleDriver(choice: DriverChoice, store: Store, hasOwnUsers: boolean): Driver {
  if (hasOwnUsers && choice !== 'vfs' && choice !== 'overlay') return 'union';
  if (hasOwnUsers)
    throw new Error(`--driver ${choice} shows owners as they are on disk: --userns takes --driver union`);
  if (choice === 'union' || choice === 'vfs') return choice;
  const errno = overlayOver(store);
  if (errno === 0) return 'overlay';
  if (choice === 'auto') return isFuseOpen() ? 'union' : 'vfs';
  throw new Error(
    `kernel overlayfs does not work over the store (${describeErrno(errno)}): take --driver union or auto; ` +
      '"lamina doctor" tells more',
  );
}

function overlayOver(store: Store): number {
  const scratch = store.scratch();
  try {
    const directory = scratch.next();
    mkdirSync(directory);
    return tryOverlay(directory, isRootless());
  } finally {
    scratch.remove();
  }
}

function isFuseOpen(): boolean {
  try {
    accessSync('/dev/fuse', constants.R_OK | constants.W_OK);
    return true;
  } catch {
    return false;
  }
}
