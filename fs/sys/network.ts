import { check } from './errno.ts';
import { close, ioctl } from './file.ts';
import { bind, result } from './libc.ts';
import { Memory } from './memory.ts';

const nativeSocket = bind('int socket(int domain, int type, int protocol)');

const AF_INET = 2;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
// linux/sockios.h, linux/if.h; `struct ifreq`: 16 bytes of name, then a union.
const SIOCSIFFLAGS = 0x8914;
const IFF_UP = 1;
const IFREQ_SIZE = 40;
const IFREQ_FLAGS = 16;

/** Brings the loopback interface of this thread's network namespace up. */
export function bringLoopbackUp(): void {
  const socket = check(result(nativeSocket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)), 'open a socket');
  const request = new Memory(IFREQ_SIZE);
  request.bytes.write('lo', 'latin1');
  request.view.setInt16(IFREQ_FLAGS, IFF_UP, true);
  const raised = ioctl(socket, SIOCSIFFLAGS, request.address);
  close(socket);
  check(raised, 'bring the loopback interface up');
}
