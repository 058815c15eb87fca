import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { DIST, REPOSITORY } from './paths.ts';

const SOURCES = ['fs', 'runner', 'cli', 'tsconfig.json', 'tsconfig.build.json', 'rolldown.config.ts', 'package.json'];

/** Newest modification below `path`, milliseconds; 0 where there is nothing. */
function newest(path: string): number {
  const status = statSync(path, { throwIfNoEntry: false });
  if (status === undefined) return 0;
  if (!status.isDirectory()) return status.mtimeMs;
  return Math.max(0, ...readdirSync(path).map((name) => newest(join(path, name))));
}

function isStale(): boolean {
  const built = statSync(join(DIST, 'cli/lamina.js'), { throwIfNoEntry: false });
  const source = Math.max(...SOURCES.map((name) => newest(join(REPOSITORY, name))));
  return built === undefined || built.mtimeMs < source;
}

// FUSE's device, Documentation/admin-guide/devices.txt: character device 10, 229.
function makeFuseDevice(): void {
  if (process.getuid?.() !== 0 || existsSync('/dev/fuse')) return;
  try {
    execFileSync('mknod', ['-m', '0666', '/dev/fuse', 'c', '10', '229'], { stdio: 'ignore' });
  } catch {
    process.stderr.write('/dev/fuse is missing and cannot be made: tests that mount are skipped\n');
  }
}

/**
 * Builds what the tests spawn, unless `LAMINA_DIST` names a build to be taken as it is. A build that is newer than
 * every source is taken too, except in CI, which trusts nothing that lies about. Root gets a /dev/fuse where there is none.
 */
export default function setup(): void {
  makeFuseDevice();
  if (process.env['LAMINA_DIST']) return;
  if (process.env['CI'] || isStale()) execFileSync('npm', ['run', 'build'], { cwd: REPOSITORY, stdio: 'inherit' });
}
