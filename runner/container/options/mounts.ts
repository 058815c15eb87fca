import { realpathSync, statSync } from 'node:fs';
import { isAbsolute, normalize } from 'node:path';
import { type Volume } from '../spec.ts';

/** What the command line asks for of the container's mounts. */
export interface MountOptions {
  /** No change to the root filesystem but in temporary directories. */
  readonly readOnly: boolean;
  readonly volumes: readonly Volume[];
}

/** `HOST:INSIDE[:ro|:rw]`, as docker's -v for a path of the host. */
export function parseVolume(text: string): Volume {
  const [source = '', destination = '', mode = 'rw', ...rest] = text.split(':');
  const form = `volume ${JSON.stringify(text)} is not HOST-PATH:PATH-INSIDE[:ro]`;
  if (rest.length > 0 || source === '' || !['ro', 'rw'].includes(mode)) throw new Error(form);
  if (!/^[./]/.test(source)) throw new Error(`${form}: ${source} is no path (named volumes are not supported)`);
  if (!isAbsolute(destination)) throw new Error(`${form}: ${destination || 'what is inside'} is not an absolute path`);
  return { source: existing(source), destination: checkDestination(destination), readOnly: mode === 'ro' };
}

function existing(source: string): string {
  try {
    statSync(source);
    return realpathSync(source);
  } catch (error) {
    throw new Error(`cannot bind ${source} into the container: ${String(error)}`, { cause: error });
  }
}

function checkDestination(path: string): string {
  const destination = normalize(path).replace(/(.)\/+$/, '$1');
  const isForbidden = destination === '/' || destination === '/proc' || destination.startsWith('/proc/');
  if (isForbidden) throw new Error(`cannot bind on ${destination} in the container: its root and /proc are its own`);
  return destination;
}

/** Whether a path lies at or below a volume's. */
export function isCovered(path: string, volumes: readonly Volume[]): boolean {
  return volumes.some(({ destination }) => path === destination || path.startsWith(`${destination}/`));
}
