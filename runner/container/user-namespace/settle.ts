import { mappedIdCounts } from '../../../fs/sys/id-maps.ts';
import { type Image } from '../../image/image.ts';
import { type ContainerStore } from '../container-store.ts';
import { type ContainerOptions } from '../options/container-options.ts';
import { type AutoRange } from '../options/user-namespace.ts';
import { readRangesOf } from '../subordinate-ids.ts';
import { isRootless } from '../userns.ts';
import { type IdMapping, type IdMappings, checkMappings, isSeen } from './id-mappings.ts';
import { highestIdOf } from './image-ids.ts';
import { type Span, allot } from './allot.ts';

/**
 * What is asked for, with the ids that a new container has for good.
 *
 * @throws where there are none for it.
 */
export function settleUsers(options: ContainerOptions, image: Image, containers: ContainerStore): ContainerOptions {
  const { users } = options.namespaces;
  if (users === undefined || users.mappings !== undefined) return options;
  const mappings =
    users.container === undefined
      ? autoMappings(users.auto ?? { users: [], groups: [] }, image, containers)
      : sharedMappings(users.container, containers);
  return { ...options, namespaces: { ...options.namespaces, users: { ...users, mappings } } };
}

function sharedMappings(reference: string, containers: ContainerStore): IdMappings | undefined {
  const mappings = containers.find(reference).config.options?.namespaces.users?.mappings;
  if (mappings === undefined || isSeen(mappings.users, 0)) return mappings;
  throw new Error(
    `--userns container:${reference}: its users reach no file of ours, and only a container of a user who has a part in it ` +
      '(--userns keep-id) can be shared',
  );
}

// As podman's: fewer would be of no use to most programs.
const LEAST = 1024;

function autoMappings(auto: AutoRange, image: Image, containers: ContainerStore): IdMappings {
  const size = auto.size ?? Math.max(LEAST, highestIdOf(image.layers) + 1);
  const available = availableIds();
  const others = containers.list().flatMap(({ config }) => {
    const users = config.options?.namespaces.users;
    return users?.auto === undefined || users.mappings === undefined ? [] : [users.mappings];
  });
  const mapped = (kind: 'users' | 'groups'): IdMapping[] => {
    const taken = others.flatMap((mappings) => mappings[kind].map(({ outside, count }) => ({ start: outside, count })));
    const allotted = allot(size, auto[kind], available[kind], taken);
    if (allotted === undefined) throw new Error(`--userns auto: ${available.of} has no ${size} ${kind} that are free`);
    checkMappings('--userns auto', allotted);
    return allotted;
  };
  return { users: mapped('users'), groups: mapped('groups') };
}

/** The ids that containers with ids of their own are given some of. */
function availableIds(): { readonly users: readonly Span[]; readonly groups: readonly Span[]; readonly of: string } {
  if (isRootless()) {
    const { users, groups } = mappedIdCounts();
    const of = 'the range of subordinate ids';
    // 0 is the user.
    return { users: [{ start: 1, count: users - 1 }], groups: [{ start: 1, count: groups - 1 }], of };
  }
  const ranges = readRangesOf({ name: 'containers', uid: -1 });
  if (ranges.users.length > 0 && ranges.groups.length > 0) return { ...ranges, of: 'the range of "containers"' };
  throw new Error(
    '--userns auto: no range of ids for "containers" in /etc/subuid and /etc/subgid: ' +
      'echo containers:2147483647:2147483648 | tee -a /etc/subuid >>/etc/subgid',
  );
}
