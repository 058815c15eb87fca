import { isAddress } from './ports.ts';

/** What a user wants in a container's /etc/resolv.conf, in place of what the host has. */
export interface ResolverOptions {
  readonly nameservers: readonly string[];
  /** `.` alone: none at all. */
  readonly search: readonly string[];
  readonly options: readonly string[];
}

/** What of the host's resolver a container with a network of its own can use. */
export interface ResolverReach {
  /** Where the network's helper answers for the host's resolver. */
  readonly forwarder?: string | undefined;
  readonly hasIpv6: boolean;
}

/**
 * The container's resolv.conf, of the host's. What the host asks on its own loopback interface the container cannot ask:
 * the forwarder takes its place.
 *
 * @param reach undefined where the container has the host's network.
 */
export function resolvConf(host: string, wanted: ResolverOptions, reach?: ResolverReach): string {
  const isUntouched = wanted.nameservers.length + wanted.search.length + wanted.options.length === 0;
  if (isUntouched && reach === undefined) return host;
  const own = parseResolvConf(host);
  const nameservers = wanted.nameservers.length > 0 ? wanted.nameservers : reachable(own.nameservers, reach);
  const search = wanted.search.length > 0 ? wanted.search.filter((domain) => domain !== '.') : own.search;
  const options = wanted.options.length > 0 ? wanted.options : own.options;
  return [
    ...(search.length > 0 ? [`search ${search.join(' ')}`] : []),
    ...nameservers.map((address) => `nameserver ${address}`),
    ...(options.length > 0 ? [`options ${options.join(' ')}`] : []),
    '',
  ].join('\n');
}

/** Whether what the host asks is systemd-resolved on its loopback interface, which keeps a list of whom it asks itself. */
export function isStubResolver(host: string): boolean {
  const { nameservers } = parseResolvConf(host);
  return nameservers.length > 0 && nameservers.every((address) => address === '127.0.0.53' || address === '127.0.0.54');
}

/** Whether whom the host asks first, over IPv4, answers to this machine alone, or nobody is asked. */
export function asksItself(host: string): boolean {
  const first = parseResolvConf(host).nameservers.find((address) => !address.includes(':'));
  return first === undefined || isLoopback(first);
}

function reachable(nameservers: readonly string[], reach: ResolverReach | undefined): readonly string[] {
  if (reach === undefined) return nameservers;
  const { forwarder, hasIpv6 } = reach;
  const others = nameservers.filter((address) => !isLoopback(address) && (hasIpv6 || !address.includes(':')));
  const isComplete = others.length > 0 && others.length === nameservers.length;
  return isComplete || forwarder === undefined ? others : [forwarder, ...others];
}

function isLoopback(address: string): boolean {
  return address.startsWith('127.') || address === '::1';
}

interface ResolvConf {
  readonly nameservers: readonly string[];
  readonly search: readonly string[];
  readonly options: readonly string[];
}

/** As resolv.conf(5): the last `search` or `domain` holds, the others add up. */
function parseResolvConf(text: string): ResolvConf {
  const nameservers: string[] = [];
  let search: string[] = [];
  const options: string[] = [];
  for (const line of text.split('\n')) {
    const [keyword, ...values] = line.trim().split(/\s+/);
    // One with a zone (fe80::1%eth0) is of the host's interface.
    if (keyword === 'nameserver') nameservers.push(...values.slice(0, 1).filter(isAddress));
    if (keyword === 'search' || keyword === 'domain') search = values;
    if (keyword === 'options') options.push(...values);
  }
  return { nameservers, search, options };
}
