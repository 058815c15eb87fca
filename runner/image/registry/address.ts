import { type LookupAddress, lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';

// Where a registry, or what it refers to, may not be: a cloud's metadata service answers on link-local addresses, and gives
// credentials to whoever is led there.

const linkLocal = new BlockList();
linkLocal.addSubnet('169.254.0.0', 16);
linkLocal.addSubnet('fe80::', 10, 'ipv6');
linkLocal.addAddress('fd00:ec2::254', 'ipv6');

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('::1', 'ipv6');

function isIn(list: BlockList, address: string): boolean {
  return list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

/** A URL's host without the brackets of an IPv6 address. */
function bareHost(url: URL): string {
  return url.hostname.replace(/^\[|\]$/g, '');
}

/** This machine, by name or address: plain http to it reaches no network. */
export function isLoopback(url: URL): boolean {
  const host = bareHost(url);
  return host === 'localhost' || host.endsWith('.localhost') || (isIP(host) !== 0 && isIn(loopback, host));
}

/** Throws where a URL names a link-local address; names are looked at once they are resolved, by `guardedLookup`. */
export function refuseLinkLocal(url: URL): void {
  const host = bareHost(url);
  if (isIP(host) !== 0 && isIn(linkLocal, host))
    throw new Error(`${url.host} is a link-local address, which is refused`);
}

/** dns.lookup without link-local addresses. */
export const guardedLookup: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, addresses: readonly LookupAddress[]) => {
    if (error !== null) {
      callback(error, '', 0);
      return;
    }
    const allowed = addresses.filter(({ address }) => !isIn(linkLocal, address));
    const [first] = allowed;
    if (first === undefined) {
      callback(new Error(`${hostname} has a link-local address, which is refused`), '', 0);
    } else if (options.all === true) {
      callback(null, allowed);
    } else {
      callback(null, first.address, first.family);
    }
  });
};
