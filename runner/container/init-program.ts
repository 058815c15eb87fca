import { closeSync, openSync, readSync, realpathSync } from 'node:fs';
import { type Volume } from './spec.ts';
import { isExecutable, lookForProgram } from './program.ts';

/** Where podman has it in a container. */
export const INIT_PATH = '/run/podman-init';

// Those that take `-- COMMAND`, reap what is orphaned and pass signals on.
const PROGRAMS = ['catatonit', 'docker-init', 'tini-static', 'tini'];
const PLACES = [
  '/usr/libexec/podman/catatonit',
  '/usr/libexec/catatonit/catatonit',
  '/usr/libexec/docker/docker-init',
  '/usr/lib/docker/docker-init',
];

/**
 * The host's program that is to be process 1 of a container with `--init`.
 *
 * @param given in place of those that are looked for.
 */
export function findInit(given: string | undefined): string {
  const candidates = given === undefined ? [...PROGRAMS.map(lookForProgram), ...PLACES.filter(isExecutable)] : [given];
  const found = candidates.find((path) => path !== undefined && isStatic(path));
  if (found !== undefined) return realpathSync(found);
  if (given !== undefined) throw new Error(`--init-path ${given} is no statically linked program that can be executed`);
  throw new Error('--init needs a small statically linked init on this machine: apt-get install catatonit');
}

const HEAD = 4096;

/** One that needs a loader finds none in the container, or the container's own. */
function isStatic(path: string): boolean {
  if (!isExecutable(path)) return false;
  const fd = openSync(path, 'r');
  try {
    const head = Buffer.alloc(HEAD);
    const text = head.toString('latin1', 0, readSync(fd, head));
    return text.startsWith('\x7fELF') && !/\/ld[-.a-z0-9_]*\.so/.test(text);
  } finally {
    closeSync(fd);
  }
}

/** The mount that puts it into a container. */
export function initVolume(source: string): Volume {
  return { source, destination: INIT_PATH, readOnly: true };
}
