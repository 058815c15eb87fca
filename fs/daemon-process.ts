import { closeSync, readSync, writeSync } from 'node:fs';
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

/** Resolves when whoever started us has closed the channel, or is no more. */
function untilLeft(): Promise<void> {
  const channel = new Socket({ fd: CHANNEL, readable: true, writable: true });
  channel.on('error', () => undefined);
  channel.unref().resume();
  return new Promise((resolve) => channel.once('close', () => resolve()));
}

async function main(): Promise<void> {
  try {
    const { isAttended, ...options } = readOrder();
    const left = isAttended === true ? untilLeft() : undefined;
    const answer = (): boolean => {
      const isHeard = tell('');
      if (isAttended !== true) closeSync(CHANNEL);
      return isHeard;
    };
    await serveAsDaemon(options, answer, left);
  } catch (error) {
    tell(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}

void main();
