import { closeSync, readSync, writeSync } from 'node:fs';
import { CHANNEL } from './daemon-channel.ts';
import { mount, type MountOptions } from './mount.ts';
import { serveUntilEnd } from './serve.ts';
import { toText } from './sys/text.ts';

// The process that `spawnDaemon` starts.

function readOptions(): MountOptions {
  const buffer = Buffer.allocUnsafe(65536);
  let text = '';
  while (!text.endsWith('\n')) {
    const length = readSync(CHANNEL, buffer);
    if (length === 0) throw new Error('the options did not come whole');
    text += buffer.toString('latin1', 0, length);
  }
  return JSON.parse(Buffer.from(text, 'latin1').toString('utf8')) as MountOptions;
}

/** Answers whether whoever started us is there to hear it. */
function tell(text: string): boolean {
  try {
    writeSync(CHANNEL, `${text}\n`);
    closeSync(CHANNEL);
    return true;
  } catch {
    return false;
  }
}

async function main(): Promise<void> {
  try {
    const options = readOptions();
    const mounting = mount(options);
    const end = serveUntilEnd(mounting);
    // It rejects as the mounting does, which is told below.
    end.catch(() => undefined);
    const served = await mounting;
    process.title = `fuse-lamina ${toText(served.mountpoint)}`;
    process.chdir('/');
    process.umask(0);
    // Who was interrupted, or gave up waiting, believes that nothing is mounted.
    if (!tell('')) await served.unmount();
    await end;
  } catch (error) {
    tell(error instanceof Error ? error.message : String(error));
    process.exitCode = 1;
  }
}

await main();
