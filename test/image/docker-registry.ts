import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { onTestFinished } from 'vitest';
import { temporary } from './ground.ts';

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/** Debian's docker-registry on the loopback interface, for one test; answers its host. */
export async function startDockerRegistry(): Promise<string> {
  const directory = temporary();
  const host = `127.0.0.1:${await freePort()}`;
  const configuration = { version: '0.1', storage: { filesystem: { rootdirectory: directory } }, http: { addr: host } };
  // JSON is YAML.
  writeFileSync(join(directory, 'config.yml'), JSON.stringify(configuration));
  const server = spawn('docker-registry', ['serve', join(directory, 'config.yml')], { stdio: 'ignore' });
  onTestFinished(() => void server.kill());
  for (let attempt = 0; attempt < 600; attempt++) {
    if (
      await fetch(`http://${host}/v2/`).then(
        ({ ok }) => ok,
        () => false,
      )
    )
      return host;
    await sleep(50);
  }
  throw new Error('docker-registry does not answer');
}
