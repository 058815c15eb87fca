import { bind, result, syscallNumber } from './libc.ts';
import { Memory } from './memory.ts';

// bpf(2), for programs that decide which devices a control group of version 2 may use; numbers of linux/bpf.h.

const nativeBpf = bind('long syscall(long number, int command, uintptr_t attr, unsigned int size)');

const BPF_PROG_LOAD = 5;
const BPF_PROG_ATTACH = 8;
const BPF_PROG_TYPE_CGROUP_DEVICE = 15;
const BPF_CGROUP_DEVICE = 6;
/** A group's processes are subject to the programs of the groups above, too. */
const BPF_F_ALLOW_MULTI = 2;

const ATTR_SIZE = 72;
const INSTRUCTION_SIZE = 8;

function bpf(command: number, attr: Memory): number {
  return result(nativeBpf(syscallNumber('bpf'), command, attr.address, ATTR_SIZE));
}

/**
 * Has the kernel check a program of type BPF_PROG_TYPE_CGROUP_DEVICE; answers its descriptor, or a negative errno. It
 * takes CAP_BPF or CAP_SYS_ADMIN in the initial user namespace.
 */
export function loadDeviceProgram(instructions: Uint8Array): number {
  const code = new Memory(instructions.length);
  code.bytes.set(instructions);
  const license = new Memory(8);
  license.bytes.write('MIT\0', 'latin1');
  const attr = new Memory(ATTR_SIZE);
  attr.view.setUint32(0, BPF_PROG_TYPE_CGROUP_DEVICE, true);
  attr.view.setUint32(4, instructions.length / INSTRUCTION_SIZE, true);
  attr.view.setBigUint64(8, BigInt(code.address), true);
  attr.view.setBigUint64(16, BigInt(license.address), true);
  attr.view.setUint32(68, BPF_CGROUP_DEVICE, true);
  const loaded = bpf(BPF_PROG_LOAD, attr);
  // Nothing else keeps what the kernel has just read.
  code.bytes.fill(0);
  license.bytes.fill(0);
  return loaded;
}

/** Subjects the processes of a group, whose directory is open as `group`, to a program; 0 or a negative errno. */
export function attachDeviceProgram(group: number, program: number): number {
  const attr = new Memory(ATTR_SIZE);
  attr.view.setUint32(0, group, true);
  attr.view.setUint32(4, program, true);
  attr.view.setUint32(8, BPF_CGROUP_DEVICE, true);
  attr.view.setUint32(12, BPF_F_ALLOW_MULTI, true);
  return bpf(BPF_PROG_ATTACH, attr);
}
