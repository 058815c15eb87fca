/** What the user-mode networks forward. */
export type PortProtocol = 'tcp' | 'udp';

/** From the first to the last, both included; both 0 for one that the kernel chooses. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** A port of a container, to be reached at one of the host's. */
export interface PortMapping {
  /** Address of the host to listen on. */
  readonly hostIp: string;
  /** The first that is free of these. */
  readonly hostPorts: PortRange;
  readonly containerPort: number;
  readonly protocol: PortProtocol;
}

/** A port that a container listens on, as EXPOSE and --expose tell. */
export interface ExposedPort {
  readonly containerPort: number;
  readonly protocol: PortProtocol;
}

/** All IPv4 addresses of the host. */
export const ANY_ADDRESS = '0.0.0.0';
export const ANY_PORT: PortRange = { first: 0, last: 0 };

const LARGEST_PORT = 65535;

/**
 * `[ip:][hostPort]:containerPort[/protocol]` or `containerPort[/protocol]`, as docker's -p; each port may be a range, one
 * mapping a port of the container.
 *
 * @throws where it is none.
 */
export function parsePublish(text: string): PortMapping[] {
  const [ports = '', protocol = 'tcp', ...rest] = text.split('/');
  // The address may be IPv6, in brackets.
  const parts = /^(?:(?:(\[[^\]]*\]|[^:[\]]*):)?([^:[\]]*):)?([^:[\]]+)$/.exec(ports);
  if (parts === null || rest.length > 0) throw new Error(describe(text));
  const [, ip = '', host = '', inside = ''] = parts;
  const containerPorts = parseRange(inside, text);
  const mapping = { hostIp: parseHostIp(ip, text), protocol: parseProtocol(protocol, text) };
  const hostPorts = host === '' || host === '0' ? ANY_PORT : parseRange(host, text);
  return portsOf(containerPorts).map((containerPort, index) => ({
    hostIp: mapping.hostIp,
    hostPorts: hostPortsOf(hostPorts, containerPorts, index, text),
    containerPort,
    protocol: mapping.protocol,
  }));
}

/** A range for several ports of the container is one for each; for a single port of it, any of the range will do. */
function hostPortsOf(host: PortRange, inside: PortRange, index: number, text: string): PortRange {
  if (host.first === 0 || inside.first === inside.last) return host;
  if (host.last - host.first !== inside.last - inside.first) {
    throw new Error(`${describe(text)}: the two ranges are not of one length`);
  }
  return { first: host.first + index, last: host.first + index };
}

/**
 * `port[-port][/protocol]`, as EXPOSE in an image and docker's --expose.
 *
 * @throws where it is none.
 */
export function parseExpose(text: string): ExposedPort[] {
  const [ports = '', protocol = 'tcp', ...rest] = text.split('/');
  if (rest.length > 0) throw new Error(`exposed port ${JSON.stringify(text)} is not PORT[-PORT][/tcp|udp]`);
  const range = parseRange(ports, text);
  return portsOf(range).map((containerPort) => ({ containerPort, protocol: parseProtocol(protocol, text) }));
}

/** Both in one list, each port once; in order of protocol and number. */
export function mergeExposed(...lists: readonly (readonly ExposedPort[])[]): ExposedPort[] {
  const byName = new Map(lists.flat().map((port) => [`${port.containerPort}/${port.protocol}`, port]));
  return [...byName.values()].sort(comparePorts);
}

/** Order of docker's lists: by protocol, then by number. */
export function comparePorts(left: ExposedPort, right: ExposedPort): number {
  if (left.protocol !== right.protocol) return left.protocol < right.protocol ? -1 : 1;
  return left.containerPort - right.containerPort;
}

function portsOf({ first, last }: PortRange): number[] {
  return Array.from({ length: last - first + 1 }, (_, index) => first + index);
}

function parseRange(text: string, whole: string): PortRange {
  const match = /^(\d{1,5})(?:-(\d{1,5}))?$/.exec(text);
  if (match === null) throw new Error(`${describe(whole)}: ${JSON.stringify(text)} is no port`);
  const first = Number(match[1]);
  const last = match[2] === undefined ? first : Number(match[2]);
  if (first === 0 || last > LARGEST_PORT || last < first) {
    throw new Error(`${describe(whole)}: ports are 1 to ${LARGEST_PORT}, the lower first`);
  }
  return { first, last };
}

function parseProtocol(text: string, whole: string): PortProtocol {
  const protocol = text.toLowerCase();
  if (protocol === 'tcp' || protocol === 'udp') return protocol;
  if (protocol === 'sctp') throw new Error(`cannot publish ${whole}: neither pasta nor slirp4netns forwards sctp`);
  throw new Error(`${describe(whole)}: ${JSON.stringify(text)} is no protocol: tcp or udp`);
}

function parseHostIp(text: string, whole: string): string {
  const address = text.replace(/^\[(.*)\]$/, '$1');
  if (address === '') return ANY_ADDRESS;
  if (isAddress(address)) return address;
  throw new Error(`${describe(whole)}: ${JSON.stringify(address)} is no address of this machine, such as 127.0.0.1`);
}

/** Whether it is an IP address; of a shape at least that no option of a helper can have. */
export function isAddress(text: string): boolean {
  return isIpv4(text) || isIpv6(text);
}

export function isIpv4(text: string): boolean {
  return /^\d{1,3}(\.\d{1,3}){3}$/.test(text) && text.split('.').every((part) => Number(part) <= 255);
}

function isIpv6(text: string): boolean {
  return /^[0-9a-fA-F:.]*$/.test(text) && text.includes(':') && URL.canParse(`http://[${text}]/`);
}

function describe(text: string): string {
  return `port ${JSON.stringify(text)} is not [IP:][HOST-PORT:]PORT[/tcp|udp]`;
}
