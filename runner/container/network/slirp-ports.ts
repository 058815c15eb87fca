import { createConnection } from 'node:net';
import { unlinkSync } from 'node:fs';
import { ANY_ADDRESS } from './ports.ts';
import { type PublishedPort, formatHost } from './published.ts';
import { SLIRP_SOCKET } from './slirp4netns.ts';

/**
 * Tells slirp4netns what to forward; then its socket goes, so that nobody else can.
 *
 * @param directory descriptor of the one that its socket is in.
 * @param guest the container's address: replies to datagrams are lost where it is left to slirp4netns to fill in.
 */
export async function forwardBySlirp(directory: number, ports: readonly PublishedPort[], guest: string): Promise<void> {
  const socket = `/proc/self/fd/${directory}/${SLIRP_SOCKET}`;
  try {
    for (const port of ports) await forward(socket, port, guest);
  } finally {
    unlinkSync(socket);
  }
}

async function forward(socket: string, port: PublishedPort, guest: string): Promise<void> {
  const { hostIp, hostPort, containerPort, protocol } = port;
  const what = `${formatHost(hostIp, hostPort)}/${protocol}`;
  const unable = whyUnable(port);
  if (unable !== undefined) throw new Error(`cannot publish on ${what}: ${unable}`);
  const request = {
    execute: 'add_hostfwd',
    arguments: {
      proto: protocol,
      host_addr: hostIp,
      host_port: hostPort,
      guest_addr: guest,
      guest_port: containerPort,
    },
  };
  const answer = await ask(socket, JSON.stringify(request));
  if (!isGranted(answer)) throw new Error(`cannot publish on ${what}: slirp4netns says ${answer.slice(0, 200)}`);
}

function whyUnable({ hostIp, protocol }: PublishedPort): string | undefined {
  if (hostIp.includes(':')) return 'slirp4netns listens on IPv4 addresses alone; pasta does on both';
  // It would take datagrams there, and never send an answer back.
  const isLost = protocol === 'udp' && hostIp !== ANY_ADDRESS;
  return isLost ? 'slirp4netns forwards udp on all addresses of this machine or on none; pasta does on one' : undefined;
}

function isGranted(answer: string): boolean {
  try {
    return Object.hasOwn(JSON.parse(answer) as object, 'return');
  } catch {
    return false;
  }
}

/** One request a connection: it ends with our half of it. */
function ask(socket: string, request: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const connection = createConnection({ path: socket });
    let answer = '';
    connection.setEncoding('utf8');
    connection.on('data', (chunk: string) => (answer += chunk));
    connection.once('error', reject);
    connection.once('close', () => resolve(answer));
    connection.end(request);
  });
}
