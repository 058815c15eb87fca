import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { type Missing } from '../support/requirements.ts';

/** The directory that test/support/make-debian-image.sh filled: making it takes root, a mirror and a minute. */
export const DEBIAN = process.env['LAMINA_DEBIAN_IMAGE'] ?? '';

export function hasDebianImage(): Missing {
  if (existsSync(join(DEBIAN, 'debian.docker.tar'))) return undefined;
  return 'LAMINA_DEBIAN_IMAGE names no directory that test/support/make-debian-image.sh filled';
}

/** Its name once it is loaded. */
export const IMAGE = 'debian:test';
export const ARCHIVE = join(DEBIAN, 'debian.docker.tar');
