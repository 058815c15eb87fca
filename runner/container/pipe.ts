import { O_CLOEXEC } from '../../fs/sys/constants.ts';
import { SystemError } from '../../fs/sys/errno.ts';
import { pipe2 } from '../../fs/sys/process.ts';

/** A pipe, close-on-exec. */
export function makePipe(): { readonly readEnd: number; readonly writeEnd: number } {
  const pipe = pipe2(O_CLOEXEC);
  if (typeof pipe === 'number') throw new SystemError('make a pipe', pipe);
  return pipe;
}
