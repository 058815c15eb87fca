import { EPROTO } from './errno.ts';
import { bind, result } from './libc.ts';
import { Memory } from './memory.ts';

const nativeSocketpair = bind('int socketpair(int domain, int type, int protocol, uintptr_t fds)');
const nativeRecvmsg = bind('int64_t recvmsg(int fd, uintptr_t message, int flags)');

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_CMSG_CLOEXEC = 0x40000000;

/** Two connected UNIX sockets, close-on-exec, or a negative errno. */
export function socketpair(): readonly [number, number] | number {
  const fds = new Memory(8);
  const made = result(nativeSocketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds.address));
  return made < 0 ? made : [fds.view.getInt32(0, true), fds.view.getInt32(4, true)];
}

// `struct msghdr`, `struct iovec` and `struct cmsghdr` on the 64-bit platforms.
const MESSAGE = { iov: 16, iovlen: 24, control: 32, controllen: 40, sizeof: 56 };
const CONTROL = { len: 0, level: 8, type: 12, data: 16, sizeof: 24 };

/** The file descriptor that waits in a socket (SCM_RIGHTS), close-on-exec; a negative errno where there is none. */
export function receiveDescriptor(socket: number): number {
  const message = new Memory(MESSAGE.sizeof);
  const vector = new Memory(16);
  const data = new Memory(8);
  const control = new Memory(CONTROL.sizeof);
  vector.view.setBigUint64(0, BigInt(data.address), true);
  vector.view.setBigUint64(8, 1n, true);
  message.view.setBigUint64(MESSAGE.iov, BigInt(vector.address), true);
  message.view.setBigUint64(MESSAGE.iovlen, 1n, true);
  message.view.setBigUint64(MESSAGE.control, BigInt(control.address), true);
  message.view.setBigUint64(MESSAGE.controllen, BigInt(CONTROL.sizeof), true);
  const length = result(nativeRecvmsg(socket, message.address, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
  if (length < 0) return length;
  const isDescriptor =
    length > 0 &&
    message.view.getBigUint64(MESSAGE.controllen, true) >= BigInt(CONTROL.data + 4) &&
    control.view.getInt32(CONTROL.level, true) === SOL_SOCKET &&
    control.view.getInt32(CONTROL.type, true) === SCM_RIGHTS;
  return isDescriptor ? control.view.getInt32(CONTROL.data, true) : -EPROTO;
}
