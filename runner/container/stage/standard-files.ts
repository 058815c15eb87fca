import { readdirSync } from 'node:fs';
import { Attr } from '../../../fs/sys/attr.ts';
import { O_CLOEXEC, O_RDWR, S_IFCHR, S_IFIFO, S_IFMT } from '../../../fs/sys/constants.ts';
import { EINVAL, ENOSYS, check } from '../../../fs/sys/errno.ts';
import { setNonBlocking } from '../../../fs/sys/event.ts';
import { close, dup3, fstat, openat } from '../../../fs/sys/file.ts';
import { fchown } from '../../../fs/sys/metadata.ts';
import { CLOSE_RANGE_CLOEXEC, closeRange, setCloseOnExec } from '../../../fs/sys/process.ts';

const STANDARD = [0, 1, 2];

const attr = new Attr();

/** Makes descriptors 0, 1 and 2 fit for the container, and the only ones that the command gets. */
export function prepareStandardFiles(uid: number): void {
  for (const fd of STANDARD) {
    check(fstat(fd, attr), `stat descriptor ${fd}`);
    const type = attr.mode & S_IFMT;
    if (type === S_IFCHR && attr.rdevMajor === 1 && attr.rdevMinor === 3) useOwnNull(fd);
    // A pipe's inode belongs to its maker: /dev/stdout can be opened by the container's user only if it is its own.
    else if (type === S_IFIFO && attr.uid !== uid) fchown(fd, uid, 0xffffffff);
    // A caller's pipe may be one that does not let wait, which commands do not expect; Node's own spawn has it so as well.
    check(setNonBlocking(fd, false), `have descriptor ${fd} wait`);
    // Node marks even the standard files close-on-exec.
    check(setCloseOnExec(fd, false), `keep descriptor ${fd}`);
  }
  markOthers();
}

function markOthers(): void {
  const marked = closeRange(3, CLOSE_RANGE_CLOEXEC);
  // The call is of Linux 5.9, its flag of 5.11.
  if (marked !== -ENOSYS && marked !== -EINVAL) {
    check(marked, 'mark all other descriptors close-on-exec');
    return;
  }
  // The descriptor that lists them is gone by now: EBADF.
  const others = readdirSync('/proc/self/fd')
    .map(Number)
    .filter((fd) => fd > 2);
  for (const fd of others) setCloseOnExec(fd, true);
}

/** Replaces the host's /dev/null, whose descriptor lies on a mount of the host, by the container's. */
function useOwnNull(fd: number): void {
  const own = check(openat(-1, '/dev/null', O_RDWR | O_CLOEXEC), "open the container's /dev/null");
  check(dup3(own, fd, 0), `make descriptor ${fd} the container's /dev/null`);
  close(own);
}
