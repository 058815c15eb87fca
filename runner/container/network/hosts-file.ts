import { isAddress } from './ports.ts';

/** A line of /etc/hosts that a user wants. */
export interface HostEntry {
  readonly name: string;
  /** `host-gateway` for the address by which the container reaches the host. */
  readonly address: string;
}

export const HOST_GATEWAY = 'host-gateway';

/**
 * `name:address` or `name=address`, as docker's --add-host; the address may be `host-gateway`, and an IPv6 address may
 * stand in brackets.
 *
 * @throws where it is none.
 */
export function parseHostEntry(text: string): HostEntry {
  const [, name = '', given = ''] = /^([^:=]+)[:=](.+)$/.exec(text) ?? [];
  const address = given.replace(/^\[(.*)\]$/, '$1');
  if (/^[^\s#]+$/.test(name) && (address === HOST_GATEWAY || isAddress(address))) return { name, address };
  throw new Error(`host ${JSON.stringify(text)} is not NAME:IP, nor NAME:${HOST_GATEWAY}`);
}

const HEAD = [
  '127.0.0.1\tlocalhost',
  '::1\tlocalhost ip6-localhost ip6-loopback',
  'fe00::\tip6-localnet',
  'ff00::\tip6-mcastprefix',
  'ff02::1\tip6-allnodes',
  'ff02::2\tip6-allrouters',
];

const HOST_NAMES = 'host.containers.internal host.docker.internal';

/** What a container's /etc/hosts is made of. */
export interface HostsFileParts {
  /** The host's own, where the container has its network. */
  readonly inherited: string;
  readonly hostname: string;
  /** Of the container; a loopback one where it has none of its own. */
  readonly address: string;
  readonly hostAddress?: string | undefined;
  readonly added: readonly HostEntry[];
}

/** @throws where an entry is to lead to a host that cannot be reached. */
export function hostsFile({ inherited, hostname, address, hostAddress, added }: HostsFileParts): string {
  // What is added stands first: the first line that has a name holds.
  const own = added.map(({ name, address }) => `${resolveHost(address, name, hostAddress)}\t${name}`);
  const base = inherited === '' ? HEAD : inherited.replace(/\n+$/, '').split('\n');
  const host = hostAddress === undefined ? [] : [`${hostAddress}\t${HOST_NAMES}`];
  return [...own, ...base, ...host, `${address}\t${hostname}`, ''].join('\n');
}

function resolveHost(address: string, name: string, hostAddress: string | undefined): string {
  if (address !== HOST_GATEWAY) return address;
  if (hostAddress !== undefined) return hostAddress;
  throw new Error(`host ${name}:${HOST_GATEWAY}: the container's network has no address that leads to this machine`);
}
