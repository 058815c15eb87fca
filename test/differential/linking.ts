import { Failure } from './libc.ts';
import { LINKS_ONCE_ASKED } from './remarks.ts';
import { statusOf } from './status.ts';
import { asRoot, Remark, type World } from './world.ts';

/**
 * Makes a hard link. With `fs.protected_hardlinks` the kernel refuses one of a setuid file that is another's by the mode
 * that it remembers (fs/namei.c, may_linkat), and over FUSE that is the mode before a write took setuid away. The answer
 * tells where the same call is allowed once the attributes were asked for.
 */
export function linking(world: World, source: Buffer, link: () => unknown): void {
  try {
    link();
  } catch (error) {
    if (world.isReference || !(error instanceof Failure) || error.code !== 'EPERM') throw error;
    asRoot(() => statusOf(source));
    link();
    throw new Remark(LINKS_ONCE_ASKED);
  }
}
