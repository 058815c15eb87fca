import { exitNow, prepareMount } from '../../../fs/index.ts';
import { MOUNTS } from './channel.ts';

// The process that `DetachedSupervisor` starts.

// The thread of the container's filesystem comes up while everything else is loaded.
if (process.argv.includes(MOUNTS)) prepareMount();

void import('./detached.ts')
  .then(({ superviseOrdered }) => superviseOrdered())
  // A worker that serves a mount which others still hold would keep Node's own exit waiting.
  .then(() => exitNow(0));
