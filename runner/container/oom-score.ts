import { writeFileSync } from 'node:fs';
import { describeErrno } from '../../fs/sys/errno.ts';

/**
 * Says how readily the kernel is to kill a process, and those that it will start, when the machine is out of memory.
 *
 * @param score -1,000 to 1,000; less than the process has takes CAP_SYS_RESOURCE.
 */
export function setOomScore(pid: number, score: number): void {
  try {
    writeFileSync(`/proc/${pid}/oom_score_adj`, String(score));
  } catch (error) {
    const { errno } = error as NodeJS.ErrnoException;
    if (errno === undefined) throw error;
    const why = `${describeErrno(errno)}; what is below our own takes CAP_SYS_RESOURCE`;
    throw new Error(`--oom-score-adj ${score} cannot be set: ${why}`, { cause: error });
  }
}
