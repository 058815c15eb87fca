import { type Store } from '../../runner/image/store.ts';
import { run, snapshot, temporary } from './ground.ts';

/** An image of the store as the kernel's own union shows it. */
export function merged(store: Store, name: string): string[] {
  const mountpoint = temporary();
  // overlayfs wants two lowers where there is no upper.
  const lowers = [...store.resolve(name).layers, temporary()];
  run('mount', '-t', 'overlay', 'overlay', '-o', `lowerdir=${lowers.join(':')}`, mountpoint);
  try {
    return snapshot(mountpoint);
  } finally {
    run('umount', mountpoint);
  }
}
