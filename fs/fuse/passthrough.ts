import type { Passthrough } from '../filesystem.ts';
import { EBADF } from '../sys/errno.ts';
import { Memory } from '../sys/memory.ts';
import type { Device } from './device.ts';
import { ABI } from './structs.ts';

const { fuse_backing_map: MAP } = ABI;

// _IOW(229, 1, struct fuse_backing_map), _IOW(229, 2, uint32_t).
const FUSE_DEV_IOC_BACKING_OPEN = 0x4010e501;
const FUSE_DEV_IOC_BACKING_CLOSE = 0x4004e502;

const NO_FILE = -1;

/** Hands the kernel files that it is to read and write by itself (Linux 6.9, fs/fuse/passthrough.c). */
export class DevicePassthrough implements Passthrough {
  readonly #device: Device;
  readonly #memory = new Memory(MAP.sizeof);

  constructor(device: Device) {
    this.#device = device;
  }

  /** EPERM without CAP_SYS_ADMIN in the initial user namespace; ELOOP for a file of a filesystem that is stacked itself. */
  register(fd: number): number {
    const { view, address } = this.#memory;
    view.setInt32(MAP.fd, fd, true);
    view.setUint32(MAP.flags, 0, true);
    view.setUint32(MAP.padding, 0, true);
    view.setUint32(MAP.padding + 4, 0, true);
    return this.#device.ioctl(FUSE_DEV_IOC_BACKING_OPEN, address);
  }

  unregister(backing: number): void {
    this.#memory.view.setUint32(0, backing, true);
    this.#device.ioctl(FUSE_DEV_IOC_BACKING_CLOSE, this.#memory.address);
  }

  /** Whether `register` is allowed, once INIT is through: the kernel looks at the rights before it looks at the file. */
  get isAllowed(): boolean {
    return this.register(NO_FILE) === -EBADF;
  }
}
