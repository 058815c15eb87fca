import { startSpareWorker } from './spare-worker.ts';

// The process that fuse-lamina, a shell script, starts: a mount takes one Node in place of two, one that waits for another.

// The session's thread comes up while everything else is loaded. Where another backend is named, if only in a path, it is not
// known yet whether it will be wanted.
if (![process.env['LAMINA_BACKEND'], ...process.argv].some((text) => text?.includes('native'))) startSpareWorker();

void import('./background.ts').then(({ mountInBackground }) => mountInBackground());
