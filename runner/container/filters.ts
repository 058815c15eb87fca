import { parseMoment } from '../image/filters.ts';
import { type Store } from '../image/store.ts';
import { isPaused } from './cgroup/pausing.ts';
import { type Container, liveStatus } from './container.ts';
import { type ExposedPort, parseExpose } from './network/ports.ts';
import { formatExposed } from './network/published.ts';

/** What a container must be like. */
export type ContainerFilter = (container: Container) => boolean;

/** Docker's word for what a container is at. */
export type Status = 'created' | 'restarting' | 'running' | 'paused' | 'exited' | 'dead';

export function statusOf(container: Container): Status {
  const status = liveStatus(container.readState());
  switch (status) {
    case 'starting':
      return 'created';
    case 'orphaned':
      return 'running';
    case 'running':
      return isPaused(container) ? 'paused' : 'running';
    default:
      return status;
  }
}

const STATUSES: readonly string[] = [
  'created',
  'restarting',
  'running',
  'removing',
  'paused',
  'exited',
  'dead',
] satisfies (Status | 'removing')[];

/** What the values of filters refer to. */
interface Context {
  readonly all: readonly Container[];
  readonly store: () => Store;
}

type FilterMaker = (value: string, context: Context) => ContainerFilter;

const FILTERS: Readonly<Record<string, FilterMaker>> = {
  ancestor: (value, { store }) => {
    const image = store().resolve(value);
    return ({ config }) => config.imageId === image.id;
  },
  before: (value, context) => {
    const { created } = referred(value, context).config;
    return ({ config }) => config.created < created;
  },
  exited: (value) => {
    if (!/^\d{1,3}$/.test(value)) throw new Error(`filter exited=${value} is no exit code`);
    return (container) => statusOf(container) === 'exited' && container.readState().exitCode === Number(value);
  },
  expose: (value) => {
    const isWanted = portFilter(value);
    return (container) => {
      const { exposed = [], ports = [] } = container.readState().network ?? {};
      return [...exposed, ...ports].some(isWanted);
    };
  },
  id: (value) => (container) => container.id.startsWith(value),
  label: labelFilter,
  'label!': (value) => {
    const filter = labelFilter(value);
    return (container) => !filter(container);
  },
  name: (value) => {
    const pattern = patternOf(value);
    return ({ config }) => pattern.test(config.name);
  },
  network: (value) => (container) => container.config.options?.network.mode === value,
  publish: (value) => {
    const isWanted = portFilter(value);
    return (container) => {
      const ports = container.readState().network?.ports ?? [];
      return ports.some(({ hostPort, protocol }) => isWanted({ containerPort: hostPort, protocol }));
    };
  },
  'restart-policy': (value) => (container) => container.config.options?.lifecycle.restart.name === value,
  'should-start-on-boot': (value) => {
    if (value !== 'true' && value !== 'false') {
      throw new Error(`filter should-start-on-boot=${value} is neither true nor false`);
    }
    return (container) => startsOnBoot(container) === (value === 'true');
  },
  since: (value, context) => {
    const { created } = referred(value, context).config;
    return ({ config }) => config.created > created;
  },
  status: (value) => {
    if (!STATUSES.includes(value)) throw new Error(`filter status=${value} is none of ${STATUSES.join(', ')}`);
    return (container) => statusOf(container) === value;
  },
  until: (value) => {
    const moment = parseMoment(value);
    return ({ config }) => Date.parse(config.created) < moment;
  },
  // A volume's name, or where anything is mounted.
  volume: (value) => (container) =>
    container.mounts.some((mount) => mount.destination === value || (mount.type !== 'tmpfs' && mount.name === value)),
};

/** As podman has it: what its user has ended is not to come again by itself, unless it always is. */
function startsOnBoot(container: Container): boolean {
  const { name } = container.config.options?.lifecycle.restart ?? {};
  return name === 'always' || (name === 'unless-stopped' && container.readState().stopped !== true);
}

/** Whether a port is one of `80`, `80-89/udp`. */
function portFilter(value: string): (port: ExposedPort) => boolean {
  const wanted = new Set(parseExpose(value).map(formatExposed));
  return (port) => wanted.has(formatExposed(port));
}

/** For help. */
export const FILTER_KEYS = Object.keys(FILTERS).join(', ');

/**
 * Reads docker's filters, `KEY=VALUE` each: a container must pass one of each key, and all of labels.
 *
 * @param all the containers that `before` and `since` may mean.
 * @param store opened for `ancestor` alone.
 */
export function containerFilter(
  texts: readonly string[],
  all: readonly Container[],
  store: () => Store,
): ContainerFilter {
  const groups = new Map<string, ContainerFilter[]>();
  for (const [at, text] of texts.entries()) {
    const [, key = '', value = ''] = /^([a-z-]+!?)=(.*)$/s.exec(text) ?? [];
    const make = Object.hasOwn(FILTERS, key) ? FILTERS[key] : undefined;
    if (make === undefined) {
      throw new Error(`filter ${JSON.stringify(text)} is not KEY=VALUE with one of ${FILTER_KEYS}`);
    }
    const group = key.startsWith('label') ? `${key} ${at}` : key;
    groups.set(group, [...(groups.get(group) ?? []), make(value, { all, store })]);
  }
  return (container) => [...groups.values()].every((group) => group.some((filter) => filter(container)));
}

function labelFilter(text: string): ContainerFilter {
  const at = text.indexOf('=');
  const [name, value] = at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
  return (container) => {
    const labels = labelsOf(container);
    return Object.hasOwn(labels, name) && (value === undefined || labels[name] === value);
  };
}

/** The image's labels, and its own, which win. */
export function labelsOf({ config }: Container): Readonly<Record<string, string>> {
  return config.labels ?? {};
}

function patternOf(text: string): RegExp {
  try {
    return new RegExp(text.replace(/^\//, ''));
  } catch {
    throw new Error(`filter name=${text} is no regular expression`);
  }
}

function referred(reference: string, { all }: Context): Container {
  const found = all.find(({ id, config }) => config.name === reference || id.startsWith(reference));
  if (found === undefined) throw new Error(`no container ${JSON.stringify(reference)}; "lamina ps -a" lists all`);
  return found;
}
