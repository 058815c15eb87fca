import { createReadStream, mkdirSync } from 'node:fs';

import { O_DIRECTORY, O_RDONLY } from '../../fs/sys/constants.ts';
import { close, openat } from '../../fs/sys/file.ts';
import { DEFAULT_LIMITS } from '../../runner/image/limits.ts';
import { unpackLayer } from '../../runner/image/unpack.ts';
import { Warnings } from '../../runner/image/warnings.ts';

// Unpacks BASE/N.tar to BASE/N for N from 0 on, all but the first over the first: what runs in another user namespace than
// the tests. Prints a line for each: nothing, or why it was refused.
const [base = '', count = '0'] = process.argv.slice(2);

async function unpack(number: number): Promise<string> {
  const path = `${base}/${number}`;
  mkdirSync(path);
  const directory = openat(-1, path, O_RDONLY | O_DIRECTORY);
  const lowers = number === 0 ? [] : [`${base}/0`];
  try {
    await unpackLayer(createReadStream(`${path}.tar`), {
      directory,
      lowers,
      limits: DEFAULT_LIMITS,
      warnings: new Warnings(),
    });
    return '';
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    close(directory);
  }
}

for (let number = 0; number < Number(count); number++)
  process.stdout.write(`${JSON.stringify(await unpack(number))}\n`);
