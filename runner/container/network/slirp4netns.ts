import { type NetworkPlan } from './plan.ts';
import { isIpv4 } from './ports.ts';
import { type Subnet, chooseSubnet, primaryAddress } from './subnet.ts';

/** Name of the container's interface, as docker has it. */
const INTERFACE = 'eth0';
const DEFAULT_MTU = '65520';

/** Podman's names of them. */
const OPTIONS = [
  'allow_host_loopback',
  'cidr',
  'enable_ipv6',
  'mtu',
  'outbound_addr',
  'outbound_addr6',
  'port_handler',
];

/** What libslirp needs beside the four addresses of its own. */
const SMALLEST_PREFIX = 25;

/** A network through slirp4netns(1): `options` as podman's `slirp4netns:`, one `NAME=VALUE` an element. */
export function planSlirp(options: readonly string[], macAddress?: string): NetworkPlan {
  const given = new Map(options.map(parseOption));
  const cidr = given.get('cidr');
  const subnet = cidr === undefined ? chooseSubnet() : subnetOf(cidr);
  const allowsLoopback = isOn(given, 'allow_host_loopback');
  const hasIpv6 = isOn(given, 'enable_ipv6');
  return {
    mode: 'slirp4netns',
    ...subnet,
    macAddress,
    hostAddress: allowsLoopback ? subnet.gateway : primaryAddress(),
    hasIpv6,
    helper: [
      '--configure',
      `--mtu=${given.get('mtu') ?? DEFAULT_MTU}`,
      `--cidr=${cidr ?? networkOf(subnet)}`,
      ...(allowsLoopback ? [] : ['--disable-host-loopback']),
      ...(hasIpv6 ? ['--enable-ipv6'] : []),
      ...valueOf(given, 'outbound_addr', '--outbound-addr'),
      ...valueOf(given, 'outbound_addr6', '--outbound-addr6'),
      ...(macAddress === undefined ? [] : [`--macaddress=${macAddress}`]),
      '--enable-sandbox',
      '--enable-seccomp',
    ],
  };
}

/** Descriptors of the helper beside the standard ones. */
export const SLIRP_READY_FD = 3;
const SLIRP_EXIT_FD = 4;
/** The directory of its socket, whose own path may be too long for a socket's. */
const SLIRP_DIRECTORY_FD = 5;
export const SLIRP_SOCKET = 'slirp4netns.sock';

/** Command line of slirp4netns for a plan of it: the network namespace is its standard input. */
export function slirpArguments(plan: NetworkPlan, hasPorts: boolean): string[] {
  const socket = `/proc/self/fd/${SLIRP_DIRECTORY_FD}/${SLIRP_SOCKET}`;
  return [
    ...(plan.helper ?? []),
    `--ready-fd=${SLIRP_READY_FD}`,
    `--exit-fd=${SLIRP_EXIT_FD}`,
    ...(hasPorts ? [`--api-socket=${socket}`] : []),
    '--netns-type=path',
    '/proc/self/fd/0',
    INTERFACE,
  ];
}

function parseOption(text: string): [name: string, value: string] {
  const at = text.indexOf('=');
  const name = at < 0 ? text : text.slice(0, at);
  if (at < 0 || !OPTIONS.includes(name)) {
    throw new Error(`network slirp4netns: ${JSON.stringify(text)} is none of ${OPTIONS.join('=, ')}=`);
  }
  const value = text.slice(at + 1);
  if (name === 'port_handler' && value !== 'slirp4netns') {
    throw new Error(`network slirp4netns: ports are forwarded by slirp4netns itself, not by ${JSON.stringify(value)}`);
  }
  if (name === 'mtu' && !/^\d{2,5}$/.test(value)) throw new Error(`network slirp4netns: mtu ${value} is no number`);
  return [name, value];
}

function isOn(given: ReadonlyMap<string, string>, name: string): boolean {
  const value = given.get(name) ?? 'false';
  if (value === 'true' || value === 'false') return value === 'true';
  throw new Error(`network slirp4netns: ${name} is true or false, not ${JSON.stringify(value)}`);
}

function valueOf(given: ReadonlyMap<string, string>, name: string, option: string): string[] {
  const value = given.get(name);
  return value === undefined ? [] : [`${option}=${value}`];
}

function networkOf({ address, prefixLength }: Subnet): string {
  return `${address.replace(/\d+$/, '0')}/${prefixLength}`;
}

/** The addresses that slirp4netns takes in a network: base + 2 for itself, + 3 for names, + 100 for the container. */
function subnetOf(cidr: string): Subnet {
  const [base = '', length = ''] = cidr.split('/');
  const prefixLength = Number(length);
  if (!isIpv4(base) || !/^\d{1,2}$/.test(length) || prefixLength < 1 || prefixLength > SMALLEST_PREFIX) {
    throw new Error(`network slirp4netns: cidr ${JSON.stringify(cidr)} is no network such as 10.0.2.0/24`);
  }
  const bits = 32 - prefixLength;
  const network = Math.floor(numberOf(base) / 2 ** bits) * 2 ** bits;
  const host = (offset: number) => dotted(network + offset);
  return { address: host(100), prefixLength, gateway: host(2), nameserver: host(3) };
}

function numberOf(address: string): number {
  return address.split('.').reduce((number, part) => number * 256 + Number(part), 0);
}

function dotted(number: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(number / 2 ** shift) % 256).join('.');
}
