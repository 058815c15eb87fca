import { EAGAIN, describeErrno } from '../../fs/sys/errno.ts';

export const NOT_STARTED = 'cannot start the first process of the container';

/** @param errno negative, of a spawn. */
export function notStarted(errno: number, cause?: unknown): Error {
  const advice =
    errno === -EAGAIN ? ': too many processes: raise ulimit -u, or the pids limit of the control group' : '';
  return new Error(`${NOT_STARTED}: ${describeErrno(errno)}${advice}`, { cause });
}
