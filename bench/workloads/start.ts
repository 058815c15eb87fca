import { type Workload } from '../workload.ts';

const STARTS = 200;
const START_LOOP = 'i=0; while [ $i -lt "$0" ]; do /usr/bin/true; i=$((i+1)); done';
const MOUNTS = 5;

/** Starting programs, and mounts themselves. */
export const START: readonly Workload[] = [
  {
    name: 'processes',
    description: `${STARTS} starts of true in a chroot in the image`,
    prepare: (site) => site.run('chroot', site.root, '/usr/bin/sh', '-c', START_LOOP, '1'),
    measure: (site) => site.run('chroot', site.root, '/usr/bin/sh', '-c', START_LOOP, `${STARTS}`),
  },
  {
    name: 'mount',
    description: `${MOUNTS} times mount, read-only in the background, and umount`,
    mountsItself: true,
    async measure(site) {
      for (let count = 0; count < MOUNTS; count++) await site.mountOnce();
    },
  },
];
