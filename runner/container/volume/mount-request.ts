import { isAbsolute, normalize } from 'node:path';

/** How mounts and unmounts below a mount are seen elsewhere: mount_namespaces(7). */
export const PROPAGATIONS = [
  'private',
  'rprivate',
  'slave',
  'rslave',
  'shared',
  'rshared',
  'unbindable',
  'runbindable',
] as const;
export type Propagation = (typeof PROPAGATIONS)[number];

export function isPropagation(text: string): text is Propagation {
  return (PROPAGATIONS as readonly string[]).includes(text);
}

/** What may be said of every mount that holds files of others. */
export interface MountAttributes {
  readonly readOnly: boolean;
  readonly noExec?: true;
  readonly noSuid?: true;
  /** Device nodes in it can be opened: no other mount of a container but /dev allows it. */
  readonly dev?: true;
  readonly propagation?: Propagation;
  /** Without the mounts below the source. */
  readonly nonRecursive?: true;
  /** The mounts below the source stay writable. */
  readonly readOnlyRoot?: true;
  /** All in it is given to the container's user. */
  readonly chown?: true;
  /** The path in the source, of which no symlink leads out. */
  readonly subpath?: string;
}

/** A file or directory of the host. */
export interface BindRequest extends MountAttributes {
  readonly type: 'bind';
  /** Absolute path outside. */
  readonly source: string;
  readonly destination: string;
  /** Through a union of its own, whose changes are thrown away. */
  readonly overlay?: true;
}

/** A volume of the store; without a name a new one of the container's own. */
export interface VolumeRequest extends MountAttributes {
  readonly type: 'volume';
  readonly name?: string;
  readonly destination: string;
  /** An empty volume stays empty: it does not get what the image has in its place. */
  readonly noCopy?: true;
  readonly overlay?: true;
  readonly labels?: Readonly<Record<string, string>>;
}

/** A filesystem in memory. */
export interface TmpfsRequest {
  readonly type: 'tmpfs';
  readonly destination: string;
  readonly readOnly: boolean;
  readonly exec?: true;
  readonly suid?: true;
  readonly dev?: true;
  /** It gets what the image has in its place. */
  readonly copyUp?: true;
  /** `size=64m`, `mode=1777`: the kernel's own options. */
  readonly data: readonly string[];
}

/** The filesystem of an image. */
export interface ImageRequest {
  readonly type: 'image';
  /** Name or id. */
  readonly image: string;
  readonly destination: string;
  /** It can be changed; the changes are thrown away. */
  readonly readOnly: boolean;
  readonly subpath?: string;
}

/** A mount that the command line asks for. */
export type MountRequest = BindRequest | VolumeRequest | TmpfsRequest | ImageRequest;

/** A path in a container on which something can be mounted, without what is idle in it. */
export function checkDestination(path: string): string {
  if (!isAbsolute(path)) throw new Error(`${path === '' ? 'the path in the container' : path} is not an absolute path`);
  const destination = normalize(path).replace(/(.)\/+$/, '$1');
  const isForbidden = destination === '/' || destination === '/proc' || destination.startsWith('/proc/');
  if (isForbidden) throw new Error(`cannot mount on ${destination} in the container: its root and /proc are its own`);
  return destination;
}
