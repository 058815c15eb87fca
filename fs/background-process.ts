import { mountInBackground } from './background.ts';

// The process that fuse-lamina, a shell script, starts: a mount takes one Node in place of two, one that waits for another.

void mountInBackground();
