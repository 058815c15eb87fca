import { type ByteString } from '../../../fs/sys/bytes.ts';
import { type MountAttributes, type TmpfsRequest } from './mount-request.ts';

/** A mount of a container, resolved when that is made: it is kept with the container, and the same at each start. */
export type ContainerMount = BoundMount | TmpfsRequest;

/** What is bound from outside. */
export interface BoundMount extends MountAttributes {
  readonly type: 'bind' | 'volume' | 'image';
  /** Of a volume; of an image, how it was asked for. */
  readonly name?: string;
  readonly isAnonymous?: true;
  /** Absolute path outside; of an image its mount, in the container's directory. */
  readonly source: string;
  readonly destination: string;
  readonly isDirectory: boolean;
  /** An empty volume gets what the image has in its place. */
  readonly populate?: true;
  /** It is a union of its own, which is mounted for a run. */
  readonly union?: UnionMount;
}

/** A union that is mounted beside that of the container, and whose changes are thrown away. */
export interface UnionMount {
  /** The topmost first. */
  readonly lowers: readonly ByteString[];
  readonly isWritable: boolean;
}

/** As `docker inspect` lists a mount. */
interface InspectedMount {
  readonly Type: string;
  readonly Name?: string;
  readonly Source: string;
  readonly Destination: string;
  readonly Driver?: string;
  readonly Mode: string;
  readonly RW: boolean;
  readonly Propagation: string;
}

export function inspectMount(mount: ContainerMount): InspectedMount {
  if (mount.type === 'tmpfs') {
    const { destination, data, readOnly } = mount;
    const Mode = data.join();
    return omittingEmpty({ Type: 'tmpfs', Source: '', Destination: destination, Mode, RW: !readOnly, Propagation: '' });
  }
  const { type, name, source, destination, readOnly, propagation = 'rprivate' } = mount;
  return omittingEmpty({
    Type: type,
    ...(name === undefined ? {} : { Name: name }),
    Source: source,
    Destination: destination,
    ...(type === 'volume' ? { Driver: 'local' } : {}),
    Mode: modeOf(mount),
    RW: !readOnly,
    Propagation: type === 'bind' ? propagation : '',
  });
}

/** Fields that JSON leaves out where they are empty, and a template has all the same. */
function omittingEmpty(mount: InspectedMount): InspectedMount {
  const absent = (['Name', 'Driver'] as const).filter((name) => mount[name] === undefined);
  return Object.defineProperties(mount, Object.fromEntries(absent.map((name) => [name, { value: '' }])));
}

function modeOf({ readOnly, noExec, noSuid, dev, union }: BoundMount): string {
  const modes: [boolean | undefined, string][] = [
    [readOnly, 'ro'],
    [noExec, 'noexec'],
    [noSuid, 'nosuid'],
    [dev, 'dev'],
    [union !== undefined, 'O'],
  ];
  return modes
    .filter(([isOn]) => isOn === true)
    .map(([, mode]) => mode)
    .join(',');
}
