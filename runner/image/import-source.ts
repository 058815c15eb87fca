import { createReadStream, statSync } from 'node:fs';
import { STATUS_CODES } from 'node:http';

import { toBytes } from '../../fs/sys/bytes.ts';
import { O_CLOEXEC, O_DIRECTORY, O_RDONLY } from '../../fs/sys/constants.ts';
import { check } from '../../fs/sys/errno.ts';
import { close, openat } from '../../fs/sys/file.ts';
import { type ByteSource } from './compression.ts';
import { packTree, type PackOptions } from './pack.ts';

/** The archive that a path of a file or directory, or a URL, stands for. What it needs is open only while it is read. */
export function openImportSource(source: string, options: PackOptions): ByteSource {
  if (/^https?:\/\//i.test(source)) return download(source);
  return statSync(source).isDirectory()
    ? packDirectoryAt(source, options)
    : createReadStream(source, { highWaterMark: 1 << 18 });
}

async function* packDirectoryAt(path: string, options: PackOptions): AsyncGenerator<Uint8Array> {
  const root = check(openat(-1, toBytes(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC), `open directory ${path}`);
  try {
    yield* packTree(root, options);
  } finally {
    close(root);
  }
}

/** By the proxies of the environment, and with the certificates of this machine, as from a registry. */
async function* download(url: string): AsyncGenerator<Uint8Array> {
  const { Transport } = await import('./registry/transport.ts');
  const transport = new Transport({ tlsVerify: true });
  try {
    const { status, body } = await transport.send({ method: 'GET', url: new URL(url) });
    if (status !== 200) throw new Error(`the server answers ${status} ${STATUS_CODES[status] ?? ''}`.trim());
    yield* body as ByteSource;
  } finally {
    await transport.close();
  }
}
