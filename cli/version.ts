import { readFileSync } from 'node:fs';

/** The package's version. */
export function version(): string {
  const file = new URL(import.meta.resolve('laminafs/package.json'));
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}
