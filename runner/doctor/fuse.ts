import { statSync } from 'node:fs';
import { fuseRemedy } from '../../fs/index.ts';
import { EACCES, EPERM, errnoName } from '../../fs/sys/errno.ts';
import { lookForProgram } from '../container/program.ts';
import { type Check, no, partly, yes } from './check.ts';
import { type Trial } from './trial.ts';

export function checkFuse({ fuseDevice, fuse, passthrough }: Trial): Check[] {
  return [describeDevice(fuseDevice), describeMount(fuseDevice, fuse), describePassthrough(passthrough)];
}

function describeDevice(errno: number): Check {
  const name = '/dev/fuse';
  if (errno === 0) return yes(name, 'opens');
  const remedy = fuseRemedy(-errno);
  if (errno === -EACCES) return no(name, 'is there, but closed to you', remedy);
  if (errno === -EPERM) return no(name, 'is refused by the devices that this container may use', remedy);
  return no(name, `is not there (${errnoName(-errno)})`, remedy);
}

function describeMount(device: number, errno: number): Check {
  const name = 'mounting FUSE';
  if (device < 0) return no(name, '/dev/fuse cannot be opened');
  if (errno === 0) return yes(name, 'by mount(2)');
  return no(name, `mount(2) is refused (${errnoName(-errno)})`, fuseRemedy(-errno));
}

function describePassthrough(obstacle: string): Check {
  const name = 'FUSE passthrough';
  if (obstacle === '') return yes(name, 'the kernel reads and writes files of the layers by itself');
  return partly(name, `${obstacle}: file data goes through lamina`);
}

/** fusermount3 mounts for those who have no user namespace: `lamina mount` and fuse-lamina, not containers. */
export function checkHelper(): Check {
  const name = 'fusermount3';
  const path = lookForProgram('fusermount3');
  if (path === undefined)
    return partly(
      name,
      'is not installed: users cannot mount outside of a user namespace',
      'as root: apt-get install fuse3',
    );
  const { mode, uid } = statSync(path);
  if ((mode & 0o4000) !== 0 && uid === 0) return yes(name, `${path}, set-uid root`);
  return partly(name, `${path} is not set-uid root`, `as root: chown root ${path} && chmod u+s ${path}`);
}
