import { readFileSync } from 'node:fs';
import { libraryDirectories } from './protected-node.ts';

/** The environment of a stage. Nothing of the user's: NODE_OPTIONS could load code into it. */
export function stageEnvironment(): Record<string, string> {
  const directories = libraryDirectories(readFileSync('/proc/self/maps', 'utf8'));
  return directories.length === 0 ? {} : { LD_LIBRARY_PATH: directories.join(':') };
}
