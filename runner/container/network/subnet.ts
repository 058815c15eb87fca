import { readFileSync } from 'node:fs';
import { networkInterfaces } from 'node:os';

/** The small network that a container finds itself in, of which the helper plays all the other hosts. */
export interface Subnet {
  /** The container's. */
  readonly address: string;
  readonly prefixLength: number;
  readonly gateway: string;
  /** Where the helper answers for the host's resolver. */
  readonly nameserver: string;
}

const PREFIX_LENGTH = 24;
const CANDIDATES = 16;
const FIRST = 2;

/**
 * 10.0.2.0/24, as slirp4netns has it, or the next that no interface of the host is in: a virtual machine may itself be
 * in the first.
 *
 * @param taken addresses of the host's interfaces.
 */
export function chooseSubnet(taken: readonly string[] = hostAddresses()): Subnet {
  const prefixes = Array.from({ length: CANDIDATES }, (_, index) => `10.0.${FIRST + index}`);
  const free = prefixes.find((prefix) => !taken.some((address) => address.startsWith(`${prefix}.`)));
  const prefix = free ?? `10.0.${FIRST}`;
  return {
    address: `${prefix}.100`,
    prefixLength: PREFIX_LENGTH,
    gateway: `${prefix}.2`,
    nameserver: `${prefix}.3`,
  };
}

/** The host's own IPv4 addresses, but for loopback. */
function hostAddresses(): string[] {
  const addresses = Object.values(networkInterfaces()).flatMap((list) => list ?? []);
  return addresses.filter(({ family, internal }) => family === 'IPv4' && !internal).map(({ address }) => address);
}

/**
 * The host's IPv4 address on the interface of its default route, else on any but loopback.
 *
 * @param other one that does not lead to the host, since the container has it itself.
 */
export function primaryAddress(other?: string): string | undefined {
  const onRoute = networkInterfaces()[defaultRoute()?.[0] ?? ''] ?? [];
  const preferred = onRoute.filter(({ family }) => family === 'IPv4').map(({ address }) => address);
  return [...preferred, ...hostAddresses()].find((address) => address !== other);
}

/** Whether the host has a way to everywhere by IPv4. */
export function hasDefaultRoute(): boolean {
  return defaultRoute() !== undefined;
}

function defaultRoute(): string[] | undefined {
  // Interface, destination, gateway, flags, reference count, use, metric, mask, ...
  return lines('/proc/net/route').find((fields) => fields[1] === '00000000' && fields[7] === '00000000');
}

/** Whether the host has a way to everywhere by IPv6. */
export function hasDefaultRoute6(): boolean {
  // Destination, its length, source, its length, next hop, metric, reference count, use, flags, interface.
  return lines('/proc/net/ipv6_route').some(
    (fields) => /^0{32}$/.test(fields[0] ?? '') && fields[1] === '00' && fields.at(-1) !== 'lo',
  );
}

function lines(path: string): string[][] {
  try {
    return readFileSync(path, 'latin1')
      .split('\n')
      .map((line) => line.trim().split(/\s+/));
  } catch {
    return [];
  }
}
