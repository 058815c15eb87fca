import { EPROTO } from './errno.ts';
import { bind, result } from './libc.ts';
import { Memory } from './memory.ts';

const nativeSocketpair = bind('int socketpair(int domain, int type, int protocol, uintptr_t fds)');
const nativeRecvmsg = bind('int64_t recvmsg(int fd, uintptr_t message, int flags)');
const nativeSendmsg = bind('int64_t sendmsg(int fd, uintptr_t message, int flags)');

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_DONTWAIT = 0x40;
const MSG_NOSIGNAL = 0x4000;
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

/** A message of one byte, with room for one descriptor. */
class DescriptorMessage {
  readonly #vector = new Memory(16);
  readonly #data = new Memory(8);
  readonly #header = new Memory(MESSAGE.sizeof);
  readonly #control = new Memory(CONTROL.sizeof);

  constructor() {
    this.#vector.view.setBigUint64(0, BigInt(this.#data.address), true);
    this.#vector.view.setBigUint64(8, 1n, true);
    this.#header.view.setBigUint64(MESSAGE.iov, BigInt(this.#vector.address), true);
    this.#header.view.setBigUint64(MESSAGE.iovlen, 1n, true);
    this.#header.view.setBigUint64(MESSAGE.control, BigInt(this.#control.address), true);
    this.#header.view.setBigUint64(MESSAGE.controllen, BigInt(CONTROL.sizeof), true);
  }

  get address(): number {
    return this.#header.address;
  }

  /** The descriptor that came with a message that was received; a negative errno where none did. */
  get descriptor(): number {
    const isThere =
      this.#header.view.getBigUint64(MESSAGE.controllen, true) >= BigInt(CONTROL.data + 4) &&
      this.#control.view.getInt32(CONTROL.level, true) === SOL_SOCKET &&
      this.#control.view.getInt32(CONTROL.type, true) === SCM_RIGHTS;
    return isThere ? this.#control.view.getInt32(CONTROL.data, true) : -EPROTO;
  }

  set descriptor(fd: number) {
    this.#control.view.setBigUint64(CONTROL.len, BigInt(CONTROL.data + 4), true);
    this.#control.view.setInt32(CONTROL.level, SOL_SOCKET, true);
    this.#control.view.setInt32(CONTROL.type, SCM_RIGHTS, true);
    this.#control.view.setInt32(CONTROL.data, fd, true);
  }
}

/** The file descriptor that waits in a socket (SCM_RIGHTS), close-on-exec; a negative errno where there is none. */
export function receiveDescriptor(socket: number): number {
  const message = new DescriptorMessage();
  const length = result(nativeRecvmsg(socket, message.address, MSG_DONTWAIT | MSG_CMSG_CLOEXEC));
  if (length < 0) return length;
  return length === 0 ? -EPROTO : message.descriptor;
}

/** Gives whoever reads from the other end of a socket a descriptor for the file that `fd` is open on. */
export function sendDescriptor(socket: number, fd: number): number {
  const message = new DescriptorMessage();
  message.descriptor = fd;
  const sent = result(nativeSendmsg(socket, message.address, MSG_NOSIGNAL));
  return sent < 0 ? sent : 0;
}
