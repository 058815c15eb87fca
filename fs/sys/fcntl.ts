import { bind, result } from './libc.ts';

const nativeFcntl = bind('int fcntl(int fd, int command, long argument)');

/** fcntl(2) with a number, or none (0), for its argument; answers what the command does, or a negative errno. */
export function fcntl(fd: number, command: number, argument: number): number {
  return result(nativeFcntl(fd, command, argument));
}
