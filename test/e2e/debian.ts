import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect } from 'vitest';
import { snapshot } from '../image/ground.ts';
import { type Missing } from '../support/requirements.ts';

/** The directory that test/support/make-debian-image.sh filled: making it takes root, a mirror and a minute. */
export const DEBIAN = process.env['LAMINA_DEBIAN_IMAGE'] ?? '';

export function hasDebianImage(): Missing {
  if (existsSync(join(DEBIAN, 'debian.docker.tar'))) return undefined;
  return 'LAMINA_DEBIAN_IMAGE names no directory that test/support/make-debian-image.sh filled';
}

/** Packages for its containers, in directories of what belongs together. */
export const PACKAGES = join(DEBIAN, 'debs');

/** Its name once it is loaded. */
export const IMAGE = 'debian:test';
export const ARCHIVE = join(DEBIAN, 'debian.docker.tar');

/** One number for everything in the unpacked layers of a store. */
export function hashOfLayers(root: string): string {
  const lines = snapshot(join(root, 'layers'));
  expect(lines.length).toBeGreaterThan(5_000);
  return createHash('sha256').update(lines.join('\n')).digest('hex');
}
