import { unlinkSync } from 'node:fs';
import { createConnection, createServer, type Server } from 'node:net';
import type { MountStats } from './stats.ts';

// The control socket of a mount: whoever connects is sent the counters as JSON. The directory is closed to others.

/** Loaded along with this file, which is while a mount is made; not when that waits for nothing but this. */
const makeServer = createServer;

/** Resolves once the socket can be connected to. */
export function serveStats(path: string, stats: () => MountStats): Promise<Server> {
  try {
    unlinkSync(path);
  } catch {
    // None was left behind.
  }
  const server = makeServer((socket) => {
    socket.on('error', () => socket.destroy());
    socket.end(JSON.stringify(stats()));
  });
  return new Promise((resolve, reject) => {
    server.once('error', reject);
    server.listen(path, () => resolve(server));
  });
}

/** Asks the process that serves a mount for its counters. */
export function requestStats(path: string): Promise<MountStats> {
  return new Promise((resolve, reject) => {
    let text = '';
    const socket = createConnection(path);
    socket.setEncoding('utf8');
    socket.on('data', (chunk: string) => (text += chunk));
    socket.on('error', reject);
    socket.on('end', () => {
      resolve(JSON.parse(text) as MountStats);
    });
  });
}
