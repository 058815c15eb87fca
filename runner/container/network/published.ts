import { type ExposedPort, type PortProtocol, comparePorts } from './ports.ts';

/** A port of a running container that is reached at one of the host's. */
export interface PublishedPort {
  readonly hostIp: string;
  readonly hostPort: number;
  readonly containerPort: number;
  readonly protocol: PortProtocol;
}

/** `0.0.0.0:8080->80/tcp, 443/tcp`, as docker's and podman's PORTS: neighbours as one range, then what is only exposed. */
export function formatPorts(published: readonly PublishedPort[], exposed: readonly ExposedPort[] = []): string {
  const ranges = joinNeighbours([...published].sort(compare));
  const lines = ranges.map(({ first, length }) => {
    const host = formatHost(first.hostIp, span(first.hostPort, length));
    return `${host}->${span(first.containerPort, length)}/${first.protocol}`;
  });
  const isPublished = (port: ExposedPort) => published.some((other) => comparePorts(port, other) === 0);
  const others = exposed.filter((port) => !isPublished(port)).map(formatExposed);
  return [...lines, ...others].join(', ');
}

/** `0.0.0.0:8080`, an IPv6 address in brackets. */
export function formatHost(ip: string, port: number | string): string {
  return ip.includes(':') ? `[${ip}]:${port}` : `${ip}:${port}`;
}

export function formatExposed({ containerPort, protocol }: ExposedPort): string {
  return `${containerPort}/${protocol}`;
}

/** Docker's `Ports` of an inspected container: each port inside with what it is reached at, or null. */
export function describePorts(
  published: readonly PublishedPort[],
  exposed: readonly ExposedPort[] = [],
): Record<string, { readonly HostIp: string; readonly HostPort: string }[] | null> {
  const ports: Record<string, { HostIp: string; HostPort: string }[] | null> = {};
  for (const port of exposed) ports[formatExposed(port)] = null;
  for (const port of [...published].sort(compare)) {
    const binding = { HostIp: port.hostIp, HostPort: String(port.hostPort) };
    ports[formatExposed(port)] = [...(ports[formatExposed(port)] ?? []), binding];
  }
  return ports;
}

/** Lines of `port`: `80/tcp -> 0.0.0.0:8080`. */
export function portLines(published: readonly PublishedPort[]): string[] {
  return [...published]
    .sort(compare)
    .map((port) => `${formatExposed(port)} -> ${formatHost(port.hostIp, port.hostPort)}`);
}

/** Where a port of the container is reached. */
export function publishedAt(published: readonly PublishedPort[], port: ExposedPort): PublishedPort[] {
  return published.filter((other) => comparePorts(other, port) === 0).sort(compare);
}

function compare(left: PublishedPort, right: PublishedPort): number {
  const order = comparePorts(left, right);
  if (order !== 0) return order;
  return left.hostIp === right.hostIp ? left.hostPort - right.hostPort : left.hostIp < right.hostIp ? -1 : 1;
}

interface Neighbours {
  readonly first: PublishedPort;
  length: number;
}

function joinNeighbours(ports: readonly PublishedPort[]): Neighbours[] {
  const joined: Neighbours[] = [];
  for (const port of ports) {
    const open = joined.find(({ first, length }) => continues(port, first, length));
    if (open === undefined) joined.push({ first: port, length: 1 });
    else open.length += 1;
  }
  return joined;
}

function continues(port: PublishedPort, first: PublishedPort, length: number): boolean {
  return (
    port.hostIp === first.hostIp &&
    port.protocol === first.protocol &&
    port.hostPort === first.hostPort + length &&
    port.containerPort === first.containerPort + length
  );
}

function span(first: number, length: number): string {
  return length === 1 ? String(first) : `${first}-${first + length - 1}`;
}
