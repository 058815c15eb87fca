import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Ground } from './ground.ts';
import { type Missing, firstMissing, isRoot } from './requirements.ts';

const MIB = 1024 * 1024;

/** A new filesystem for layers to be on. */
export interface Filesystem {
  readonly kind: 'tmpfs' | 'ext4' | 'xfs' | 'btrfs';
  readonly mebibytes: number;
  /** Of mkfs. */
  readonly make?: readonly string[];
  readonly options?: string;
}

function makeCommand({ kind, make = [] }: Filesystem, image: string): readonly [string, ...string[]] {
  return [`mkfs.${kind}`, '-q', ...make, image];
}

function mountCommand({ kind, mebibytes, options }: Filesystem, image: string, path: string): readonly string[] {
  const given = options === undefined ? [] : [options];
  if (kind === 'tmpfs')
    return ['mount', '-t', 'tmpfs', '-o', [`size=${mebibytes}m`, ...given].join(','), 'tmpfs', path];
  return ['mount', '-t', kind, '-o', ['loop', ...given].join(','), image, path];
}

function makeImage(filesystem: Filesystem, image: string): Missing {
  writeFileSync(image, '');
  truncateSync(image, filesystem.mebibytes * MIB);
  const [program, ...parameters] = makeCommand(filesystem, image);
  const { error, status, stderr } = spawnSync(program, parameters, { encoding: 'utf8' });
  if (error !== undefined) return `needs ${program}: ${error.message}`;
  return status === 0 ? undefined : `needs ${program}: ${stderr.trim()}`;
}

const known = new Map<string, Missing>();

/** Why such a filesystem cannot be made and mounted here. */
export function missingFilesystem(filesystem: Filesystem): Missing {
  const key = JSON.stringify(filesystem);
  if (!known.has(key)) known.set(key, firstMissing(isRoot()) ?? probe(filesystem));
  return known.get(key);
}

function probe(filesystem: Filesystem): Missing {
  const base = mkdtempSync(join(tmpdir(), 'lamina-probe-'));
  const image = join(base, 'image');
  const path = join(base, 'm');
  mkdirSync(path);
  const made = filesystem.kind === 'tmpfs' ? undefined : makeImage(filesystem, image);
  if (made === undefined) {
    // In a mount namespace that ends with it.
    const [...command] = ['unshare', '--mount', ...mountCommand(filesystem, image, path)];
    const { status, stderr } = spawnSync(command[0] ?? '', command.slice(1), { encoding: 'utf8' });
    rmSync(base, { recursive: true });
    return status === 0 ? undefined : `needs ${filesystem.kind} on a loop device: ${stderr.trim()}`;
  }
  rmSync(base, { recursive: true });
  return made;
}

/** Mounts a new filesystem at a directory below the ground's, which is made; it belongs to the ground's root. */
export async function mountFilesystem(ground: Ground, name: string, filesystem: Filesystem): Promise<void> {
  const path = join(ground.directory, name);
  const image = `${path}.image`;
  mkdirSync(path);
  if (filesystem.kind !== 'tmpfs') {
    const failed = makeImage(filesystem, image);
    if (failed !== undefined) throw new Error(failed);
  }
  await ground.asMachine(mountCommand(filesystem, image, path));
  await ground.asMachine(['chown', `${ground.rootId}:${ground.rootId}`, path]);
  await ground.asMachine(['chmod', '755', path]);
}
