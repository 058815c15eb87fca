import { type Socket as DatagramSocket } from 'node:dgram';
import { type Server, createServer } from 'node:net';
import { type PortMapping, type PortProtocol } from './ports.ts';
import { type PublishedPort, formatHost } from './published.ts';

/**
 * Finds a free port of the host for each mapping, by listening on it: all of them at once, so that no two get the same.
 * They are let go again, for the program that forwards them to take.
 *
 * @throws where one is taken, or may not be listened on.
 */
export async function chooseHostPorts(mappings: readonly PortMapping[]): Promise<PublishedPort[]> {
  const listeners: Listener[] = [];
  try {
    const published: PublishedPort[] = [];
    for (const mapping of mappings) {
      const listener = await listenOnFree(mapping);
      listeners.push(listener);
      const { hostIp, containerPort, protocol } = mapping;
      published.push({ hostIp, hostPort: listener.port, containerPort, protocol });
    }
    return published;
  } finally {
    await Promise.all(listeners.map((listener) => listener.close()));
  }
}

interface Listener {
  readonly port: number;
  close(): Promise<void>;
}

async function listenOnFree({ hostIp, hostPorts, protocol }: PortMapping): Promise<Listener> {
  for (let port = hostPorts.first; ; port += 1) {
    try {
      return await (protocol === 'tcp' ? listenTcp(hostIp, port) : listenUdp(hostIp, port));
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException;
      if (code !== 'EADDRINUSE' || port >= hostPorts.last)
        throw explain(error, hostIp, port, hostPorts.first, protocol);
    }
  }
}

function listenTcp(host: string, port: number): Promise<Listener> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.once('error', reject);
    server.listen({ host, port, exclusive: true, ipv6Only: true }, () =>
      resolve({ port: portOf(server), close: closing(server) }),
    );
  });
}

async function listenUdp(host: string, port: number): Promise<Listener> {
  const { createSocket } = await import('node:dgram');
  return new Promise((resolve, reject) => {
    const socket = createSocket(host.includes(':') ? { type: 'udp6', ipv6Only: true } : { type: 'udp4' });
    socket.once('error', reject);
    socket.bind({ address: host, port, exclusive: true }, () => {
      resolve({ port: socket.address().port, close: closing(socket) });
    });
  });
}

function portOf(server: Server): number {
  const address = server.address();
  return address === null || typeof address === 'string' ? 0 : address.port;
}

function closing(socket: Server | DatagramSocket): () => Promise<void> {
  return () => new Promise((resolve) => socket.close(() => resolve()));
}

function explain(error: unknown, ip: string, port: number, first: number, protocol: PortProtocol): Error {
  const { code, message } = error as NodeJS.ErrnoException;
  const range = port === first ? '' : ` (nor one from ${first} on)`;
  const what = `cannot publish on ${formatHost(ip, port)}/${protocol}${range}`;
  const reasons: Record<string, string> = {
    EADDRINUSE: 'the port is in use already: take another, or end what listens there ("ss -tulpn" shows it)',
    EACCES:
      'only root may listen on it: take one from 1024 up, or as root "sysctl -w net.ipv4.ip_unprivileged_port_start=0"',
    EADDRNOTAVAIL: `this machine has no address ${ip}`,
  };
  return new Error(`${what}: ${reasons[code ?? ''] ?? message}`, { cause: error });
}
