import { type HostEntry } from '../network/hosts-file.ts';
import { type NetworkChoice } from '../network/mode.ts';
import { type ExposedPort, type PortMapping } from '../network/ports.ts';
import { type ResolverOptions } from '../network/resolv-conf.ts';

/** What the command line asks for of the container's network. */
export interface NetworkOptions extends NetworkChoice {
  /** Published at each start, to ports that are chosen then where none is given. */
  readonly publish: readonly PortMapping[];
  /** All that the image and `expose` say are published too, to ports that the kernel chooses. */
  readonly publishAll: boolean;
  readonly expose: readonly ExposedPort[];
  readonly resolver: ResolverOptions;
  /** More lines of /etc/hosts. */
  readonly hosts: readonly HostEntry[];
  /** /etc/hosts is the image's. */
  readonly noHosts: boolean;
  /** `02:00:00:00:00:01`; of the container's interface, in a network of its own. */
  readonly macAddress?: string | undefined;
}

/** A network of which nothing more is asked. */
export function plainNetwork(choice: NetworkChoice): NetworkOptions {
  const resolver = { nameservers: [], search: [], options: [] };
  return { ...choice, publish: [], publishAll: false, expose: [], resolver, hosts: [], noHosts: false };
}

/**
 * Options that a network cannot have are refused, as docker does; ports of a network that needs none published are
 * dropped, with a line that says so.
 *
 * @param report takes that line.
 */
export function checkNetworkOptions(options: NetworkOptions, report: (line: string) => void): NetworkOptions {
  const { mode, publish, publishAll } = options;
  const publishes = publish.length > 0 || publishAll;
  if (mode === 'container') refuseOfShared(options, publishes);
  const hasOwn = mode === 'pasta' || mode === 'slirp4netns';
  if (options.macAddress !== undefined && !hasOwn) {
    throw new Error(`--mac-address: with network ${mode} the container has no interface of its own`);
  }
  if (!publishes || hasOwn) return options;
  report(`no port is published: the container has ${mode === 'host' ? "the host's network" : 'no network'}`);
  return { ...options, publish: [], publishAll: false };
}

function refuseOfShared({ resolver, hosts, expose }: NetworkOptions, publishes: boolean): void {
  const wanted = [
    ['--publish', publishes],
    ['--expose', expose.length > 0],
    ['--dns', resolver.nameservers.length + resolver.search.length + resolver.options.length > 0],
    ['--add-host', hosts.length > 0],
  ] as const;
  const refused = wanted.find(([, isWanted]) => isWanted);
  if (refused === undefined) return;
  throw new Error(`${refused[0]} is for the container whose network is shared: say it when that one is made`);
}

/** Six hexadecimal bytes; the address of one interface, not of many. */
export function parseMacAddress(text: string): string {
  const isMulticast = Number.parseInt(text.slice(0, 2), 16) % 2 === 1;
  if (/^([0-9a-fA-F]{2}:){5}[0-9a-fA-F]{2}$/.test(text) && !isMulticast) return text.toLowerCase();
  throw new Error(`MAC address ${JSON.stringify(text)} is not one such as 02:00:00:00:00:01`);
}
