import { readText } from '../read-text.ts';
import { type NetworkPlan } from './plan.ts';
import { GivenOptions } from './given-options.ts';
import { type PortProtocol, isIpv4 } from './ports.ts';
import { type PublishedPort } from './published.ts';
import { asksItself } from './resolv-conf.ts';
import { type Subnet, chooseSubnet, hasDefaultRoute, hasDefaultRoute6, primaryAddress } from './subnet.ts';

// pasta of Debian 12 has all the options used here, and newer ones still have them.

/** Name of the container's interface, as docker has it. */
const INTERFACE = 'eth0';
/** Of the gateway, where there is no interface of the host to take it from. */
const GATEWAY_MAC = '02:00:00:00:00:02';

/** How the host is connected. */
export interface HostRoutes {
  readonly ipv4: boolean;
  readonly ipv6: boolean;
}

/**
 * A network through pasta(1). By itself pasta gives the container the host's own address, by which the host cannot be
 * reached then: so it gets one of a small network of its own, as in docker's, unless the options say otherwise.
 *
 * @param options pasta's own, one an element; `--map-gw` lets the gateway's address lead to the host's loopback.
 * @param resolver the host's resolv.conf.
 */
export function planPasta(
  options: readonly string[],
  macAddress?: string,
  routes: HostRoutes = { ipv4: hasDefaultRoute(), ipv6: hasDefaultRoute6() },
  resolver = readText('/etc/resolv.conf'),
): NetworkPlan {
  const given = new GivenOptions(options);
  checkOptions(given);
  const hasIpv6 = !given.has('-4', '--ipv4-only') && (routes.ipv6 || given.has('-i', '--interface'));
  const subnet = subnetOf(given, routes);
  const own = given.values('-a', '--address').find(isIpv4);
  const gateway = given.values('-g', '--gateway').find(isIpv4) ?? subnet?.gateway;
  // Answers of the host's first resolver then seem to come from the address that is forwarded, and whoever asked the
  // resolver itself drops them: pasta of Debian 12 changes the source of them all.
  const forwarder = asksItself(resolver) ? subnet?.nameserver : undefined;
  const nameserver = given.values('--dns-forward')[0] ?? forwarder;
  return {
    mode: 'pasta',
    address: own ?? subnet?.address,
    prefixLength: subnet?.prefixLength,
    gateway,
    macAddress,
    nameserver,
    hostAddress: given.has('--map-gw') ? gateway : primaryAddress(own),
    hasIpv6: hasIpv6 && (routes.ipv4 || routes.ipv6),
    helper: [
      ...defaults(given, routes, { subnet, forwarder, macAddress }),
      ...options.filter((option) => option !== '--map-gw'),
    ],
  };
}

/** Undefined where the container's addresses are for pasta or its options to say. */
function subnetOf(given: GivenOptions, routes: HostRoutes): Subnet | undefined {
  const isOther = given.has('-a', '--address', '-n', '--netmask', '-g', '--gateway', '-6', '--ipv6-only');
  return isOther || (!routes.ipv4 && routes.ipv6) ? undefined : chooseSubnet();
}

/** What lamina chose for the container. */
interface Chosen {
  readonly subnet: Subnet | undefined;
  readonly forwarder: string | undefined;
  readonly macAddress: string | undefined;
}

function defaults(given: GivenOptions, routes: HostRoutes, chosen: Chosen): string[] {
  const unless = (names: readonly string[], ...then: string[]) => (given.has(...names) ? [] : then);
  const { subnet, forwarder, macAddress } = chosen;
  const { address = '', prefixLength = '', gateway = '' } = subnet ?? {};
  return [
    '--config-net',
    '--foreground',
    '--quiet',
    // It would leave root for nobody, who may not enter the network namespace; it keeps few capabilities of root's,
    // and sees an empty filesystem.
    ...unless(['--runas'], '--runas', '0'),
    '--no-netns-quit',
    ...unless(['-I', '--ns-ifname'], '-I', INTERFACE),
    ...(subnet === undefined ? [] : ['-a', address, '-n', String(prefixLength), '-g', gateway]),
    // Without a route to copy from it wants an interface; the loopback one has no MAC address.
    ...(routes.ipv4 || routes.ipv6 ? [] : unless(['-i', '--interface'], '-4', '-i', 'lo', '-M', GATEWAY_MAC)),
    ...(forwarder === undefined ? [] : unless(['--dns-forward'], '--dns-forward', forwarder)),
    ...(macAddress === undefined ? [] : ['--ns-mac-addr', macAddress]),
    // No port of the host's loopback interface is to be reached.
    ...unless(['-T', '--tcp-ns'], '-T', 'none'),
    ...unless(['-U', '--udp-ns'], '-U', 'none'),
    ...unless(['--map-gw'], '--no-map-gw'),
  ];
}

/** What it must not be given: lamina does, or it would not be lamina's any more. */
const OWN = ['--netns', '--netns-only', '--userns', '-P', '--pid', '-F', '--fd', '-l', '--log-file', '-h', '--help'];

function checkOptions(given: GivenOptions): void {
  const own = OWN.find((name) => given.has(name));
  if (own !== undefined) throw new Error(`network pasta: ${own} is for lamina to say`);
}

/** Command line of pasta for a plan of it: the network namespace is its standard input, its readiness goes to its output. */
export function pastaArguments(plan: NetworkPlan, ports: readonly PublishedPort[]): string[] {
  const helper = plan.helper ?? [];
  const given = new GivenOptions(helper);
  return [
    ...helper,
    ...forwards(['-t', '--tcp-ports'], given, ports, 'tcp'),
    ...forwards(['-u', '--udp-ports'], given, ports, 'udp'),
    '--netns',
    '/proc/self/fd/0',
    '--pid',
    '/proc/self/fd/1',
  ];
}

/** Where nothing is said, pasta publishes every port that the container listens on. */
function forwards(
  [short, long]: readonly [string, string],
  given: GivenOptions,
  ports: readonly PublishedPort[],
  protocol: PortProtocol,
): string[] {
  const own = ports.filter((port) => port.protocol === protocol);
  if (own.length === 0) return given.has(short, long) ? [] : [short, 'none'];
  return own.flatMap(({ hostIp, hostPort, containerPort }) => [short, `${hostIp}/${hostPort}:${containerPort}`]);
}
