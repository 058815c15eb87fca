import { parentPort } from 'node:worker_threads';
import { DirectoryReaders } from './directories-ahead.ts';
import type { DirectoriesAhead } from './overlay/look-ahead.ts';

// The thread that has directories read for a session whose process has no other.

const readers = new DirectoryReaders();
parentPort?.on('message', (ahead: DirectoriesAhead) => readers.read(ahead));
parentPort?.postMessage('ready');
