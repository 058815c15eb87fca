import { type LookupAddress, lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';

// Where a registry, or what it refers to, may not be: a cloud's metadata service answers on link-local addresses, and on
// some of the cloud's own, and gives credentials to whoever is led there.

const linkLocal = new BlockList();
linkLocal.addSubnet('169.254.0.0', 16);
linkLocal.addSubnet('fe80::', 10, 'ipv6');

// Amazon's, Google's, Alibaba's, Oracle's and Azure's; and 169.254.0.0/16 by way of a NAT64 gateway.
const metadata = new BlockList();
metadata.addSubnet('fd00:ec2::', 32, 'ipv6');
metadata.addAddress('fd20:ce::254', 'ipv6');
metadata.addAddress('100.100.100.200');
metadata.addAddress('192.0.0.192');
metadata.addAddress('168.63.129.16');
metadata.addSubnet('64:ff9b::a9fe:0', 112, 'ipv6');

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('::1', 'ipv6');
// "Any address" leads here, too.
loopback.addSubnet('0.0.0.0', 8);
loopback.addAddress('::', 'ipv6');

function isIn(list: BlockList, address: string): boolean {
  return list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

/** A URL's host without the brackets of an IPv6 address, and the dot that may end a name. */
function bareHost(url: URL): string {
  return url.hostname.replace(/^\[|\]$|\.$/g, '');
}

/** This machine, by name or address: plain http to it reaches no network. */
export function isLoopback(url: URL): boolean {
  const host = bareHost(url);
  return host === 'localhost' || host.endsWith('.localhost') || (isIP(host) !== 0 && isIn(loopback, host));
}

/** Throws where a URL names a link-local address; names are looked at once they are resolved, by `guardedLookup`. */
export function refuseLinkLocal(url: URL): void {
  const host = bareHost(url);
  if (isIP(host) === 0) return;
  if (isIn(linkLocal, host)) throw new Error(`${url.host} is a link-local address, which is refused`);
  if (isIn(metadata, host)) throw new Error(`${url.host} is a cloud's metadata service, which is refused`);
}

/** Throws where a URL that another host has named leads to this machine, whose services trust who is on it. */
export function refuseLoopback(url: URL): void {
  if (isLoopback(url)) throw new Error(`${url.host} is this machine, to which no other host is to lead: refused`);
}

/** dns.lookup without link-local addresses. */
export const guardedLookup: LookupFunction = (hostname, options, callback) => {
  lookupBut(isLinkLocal, 'a link-local address', hostname, options, callback);
};

/** For names that another host gives: without this machine's own addresses, too. */
export const foreignLookup: LookupFunction = (hostname, options, callback) => {
  const isRefused = (address: string): boolean => isLinkLocal(address) || isIn(loopback, address);
  lookupBut(isRefused, 'a link-local address, or one of this machine', hostname, options, callback);
};

function isLinkLocal(address: string): boolean {
  return isIn(linkLocal, address) || isIn(metadata, address);
}

function lookupBut(
  isRefused: (address: string) => boolean,
  what: string,
  ...[hostname, options, callback]: Parameters<LookupFunction>
): void {
  lookup(hostname, { ...options, all: true }, (error, addresses: readonly LookupAddress[]) => {
    if (error !== null) {
      callback(error, '', 0);
      return;
    }
    const allowed = addresses.filter(({ address }) => !isRefused(address));
    const [first] = allowed;
    if (first === undefined) {
      callback(new Error(`${hostname} has ${what}, which is refused`), '', 0);
    } else if (options.all === true) {
      callback(null, allowed);
    } else {
      callback(null, first.address, first.family);
    }
  });
}
