import { readSync, writeSync } from 'node:fs';
import { Socket } from 'node:net';
import { CHANNEL, type DaemonOrder } from './daemon-channel.ts';
import { serveAsDaemon } from './serve-as-daemon.ts';

// The process that `spawnDaemon` and `mountAttended` start.

function readOrder(): DaemonOrder {
  const buffer = Buffer.allocUnsafe(65536);
  let text = '';
  while (!text.endsWith('\n')) {
    const length = readSync(CHANNEL, buffer);
    if (length === 0) throw new Error('the order did not come whole');
    text += buffer.toString('latin1', 0, length);
  }
  return JSON.parse(Buffer.from(text, 'latin1').toString('utf8')) as DaemonOrder;
}

/** Answers whether whoever started us is there to hear it. */
function tell(text: string): boolean {
  try {
    writeSync(CHANNEL, `${text}\n`);
    return true;
  } catch {
    return false;
  }
}

function openChannel(): Socket {
  const channel = new Socket({ fd: CHANNEL, readable: true, writable: true });
  channel.on('error', () => undefined);
  return channel;
}

/** Resolves when whoever started us has closed the channel, or is no more. */
function untilLeft(): Promise<void> {
  const channel = openChannel().unref().resume();
  return new Promise((resolve) => channel.once('close', () => resolve()));
}

/** Answers whether whoever started us says that it has heard of the mount, as one that is killed meanwhile does not. */
async function confirmMounted(): Promise<boolean> {
  if (!tell('')) return false;
  const channel = openChannel();
  const isHeard = await new Promise<boolean>((resolve) => {
    channel.once('data', () => resolve(true)).once('close', () => resolve(false));
  });
  channel.destroy();
  return isHeard;
}

async function main(): Promise<void> {
  try {
    const { isAttended, ...options } = readOrder();
    const left = isAttended === true ? untilLeft() : undefined;
    const answer = isAttended === true ? () => tell('') : confirmMounted;
    await serveAsDaemon(options, answer, left);
  } catch (error) {
    tell(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}

void main();
