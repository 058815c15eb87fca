import { SystemError, check } from '../../fs/sys/errno.ts';
import { close, dup3 } from '../../fs/sys/file.ts';
import { receiveDescriptor, sendDescriptor, socketpair } from '../../fs/sys/socket.ts';

/** The first of a stage's descriptors that are handed to it, where it is not started by us. */
export const FIRST_HANDED = 3;

/** Argument of a stage whose files wait for it. */
export const HANDED = 'handed';

/** Files that wait in a socket for the process that takes them as its descriptors from FIRST_HANDED on, in their order. */
export class HandedFiles {
  /** To be given to that process as its descriptor FIRST_HANDED. */
  readonly theirs: number;
  readonly #ours: number;

  constructor(files: readonly (number | 'ignore')[]) {
    const pair = socketpair();
    if (typeof pair === 'number') throw new SystemError('make a pair of sockets', pair);
    [this.#ours, this.theirs] = pair;
    for (const file of files) if (file !== 'ignore') check(sendDescriptor(this.#ours, file), 'hand a descriptor over');
  }

  /** What waits can be taken all the same. */
  close(): void {
    close(this.#ours);
    close(this.theirs);
  }
}

/** Takes what waits. Their numbers, but for the last ones, must be those of files that are no longer needed. */
export function takeHandedFiles(): void {
  const taken: number[] = [];
  for (let fd = receiveDescriptor(FIRST_HANDED); fd >= 0; fd = receiveDescriptor(FIRST_HANDED)) taken.push(fd);
  taken.forEach((fd, at) => {
    check(dup3(fd, FIRST_HANDED + at, 0), 'take a descriptor');
    close(fd);
  });
}
