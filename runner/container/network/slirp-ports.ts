import { createConnection } from 'node:net';
import { unlinkSync } from 'node:fs';
import { type PublishedPort, formatHost } from './published.ts';
import { SLIRP_SOCKET } from './slirp4netns.ts';

/**
 * Tells slirp4netns what to forward; then its socket goes, so that nobody else can.
 *
 * @param directory descriptor of the one that its socket is in.
 */
export async function forwardBySlirp(directory: number, ports: readonly PublishedPort[]): Promise<void> {
  const socket = `/proc/self/fd/${directory}/${SLIRP_SOCKET}`;
  try {
    for (const port of ports) await forward(socket, port);
  } finally {
    unlinkSync(socket);
  }
}

async function forward(socket: string, { hostIp, hostPort, containerPort, protocol }: PublishedPort): Promise<void> {
  const what = `${formatHost(hostIp, hostPort)}/${protocol}`;
  if (hostIp.includes(':')) throw new Error(`cannot publish on ${what}: slirp4netns listens on IPv4 addresses alone`);
  const request = {
    execute: 'add_hostfwd',
    arguments: { proto: protocol, host_addr: hostIp, host_port: hostPort, guest_port: containerPort },
  };
  const answer = await ask(socket, JSON.stringify(request));
  if (!isGranted(answer)) throw new Error(`cannot publish on ${what}: slirp4netns says ${answer.slice(0, 200)}`);
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
