import { bind, result, syscallNumber } from './libc.ts';
import { Memory } from './memory.ts';

const nativeSeccomp = bind('long syscall(long number, uint32_t operation, uint32_t flags, uintptr_t program)');

// linux/seccomp.h
const SECCOMP_SET_MODE_FILTER = 1;
export const SECCOMP_FILTER_FLAG_LOG = 2;
export const SECCOMP_FILTER_FLAG_SPEC_ALLOW = 4;

/** Size of a struct sock_filter: one instruction. */
export const INSTRUCTION_SIZE = 8;

// struct sock_fprog: the number of instructions, and where they are.
const PROGRAM_SIZE = 16;
const PROGRAM_ADDRESS = 8;

/** A filter in memory where the kernel can read it: all that its installation needs is made before. */
export class SeccompFilter {
  readonly #instructions: Memory;
  readonly #program = new Memory(PROGRAM_SIZE);
  readonly #flags: number;
  readonly #number = syscallNumber('seccomp');

  /** @param program instructions, one struct sock_filter after the other. */
  constructor(program: Uint8Array, flags: number) {
    this.#instructions = new Memory(program.length);
    this.#instructions.bytes.set(program);
    this.#program.view.setUint16(0, program.length / INSTRUCTION_SIZE, true);
    this.#program.view.setBigUint64(PROGRAM_ADDRESS, BigInt(this.#instructions.address), true);
    this.#flags = flags;
  }

  /** For the calling thread alone, and what it executes; needs CAP_SYS_ADMIN or no_new_privs. */
  install(): number {
    return result(nativeSeccomp(this.#number, SECCOMP_SET_MODE_FILTER, this.#flags, this.#program.address));
  }
}
