import { execFileSync } from 'node:child_process';
import { chmodSync, linkSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { type Layer } from '../../runner/demo/image.ts';

/** Writes a layer's entries below a directory, as who unpacks an image does. */
export function writeTree(directory: string, layers: readonly Layer[]): void {
  for (const entry of layers.flatMap(({ entries }) => entries)) {
    const path = join(directory, entry.name);
    mkdirSync(dirname(path), { recursive: true });
    if (entry.type === 'directory') mkdirSync(path, { recursive: true });
    else if (entry.type === 'file') writeFileSync(path, entry.content);
    else if (entry.type === 'symlink') symlinkSync(entry.target, path);
    else linkSync(join(directory, entry.target), path);
    if (entry.type === 'file' || entry.type === 'directory') chmodSync(path, entry.mode ?? 0o755);
  }
}

/** An archive of a tree, with its devices and modes. */
export function packTree(directory: string, archive: string): void {
  execFileSync('tar', ['-C', directory, '-cf', archive, '.']);
}
