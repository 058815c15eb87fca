import { syscallNumberOn } from '../../../fs/sys/libseccomp.ts';
import { INSTRUCTION_SIZE } from '../../../fs/sys/seccomp.ts';
import { ENOSYS } from '../../../fs/sys/errno.ts';
import { thisMachine, X32, X86_64, architectureToken } from './architectures.ts';
import { ACTION, type SeccompPolicy } from './policy.ts';

// A filter is older than the kernel and the programs that it stands between. A program tries a new system call and
// takes the old one where it hears ENOSYS; EPERM, the default of docker's profile, it takes for an answer. So what is
// newer than all that the profile knows answers ENOSYS, as runc and crun have it, ahead of the compiled filter; and
// what the profile allows but the library on this machine does not know by name yet is allowed there.

/** Numbers since Linux 6.5, the same on every architecture; from the kernel's `syscall.tbl`. */
const NEWER_CALLS: Readonly<Record<string, number>> = {
  cachestat: 451,
  fchmodat2: 452,
  map_shadow_stack: 453,
  futex_wake: 454,
  futex_wait: 455,
  futex_requeue: 456,
  statmount: 457,
  listmount: 458,
  lsm_get_self_attr: 459,
  lsm_set_self_attr: 460,
  lsm_list_modules: 461,
  mseal: 462,
  setxattrat: 463,
  getxattrat: 464,
  listxattrat: 465,
  removexattrat: 466,
  open_tree_attr: 467,
  file_getattr: 468,
  file_setattr: 469,
};

// Bit 30 tells x32's calls from those of x86_64, whose AUDIT_ARCH they share; its own ones are numbered 512 and up.
const X32_BIT = 0x40000000;
const X32_FIRST = 512;
const X32_LAST = 547;
// Those of 32-bit ARM alone: cacheflush and its kin.
const ARM_FIRST = 0xf0000;
// A tracer gives it to a call that is to be skipped.
const SKIPPED = 0xffffffff;

// struct seccomp_data of linux/seccomp.h.
const NUMBER = 0;
const ARCHITECTURE = 4;

/** A struct sock_filter: `ifTrue` and `ifFalse` count the instructions that are jumped over. */
interface Instruction {
  readonly code: number;
  readonly ifTrue: number;
  readonly ifFalse: number;
  readonly operand: number;
}

// linux/bpf_common.h
const LOAD = 0x20;
const AND = 0x54;
const EQUAL = 0x15;
const GREATER = 0x25;
const AT_LEAST = 0x35;
const RETURN = 0x06;

function instruction(code: number, operand: number, ifTrue = 0, ifFalse = 0): Instruction {
  return { code, operand, ifTrue, ifFalse };
}

/** Instructions to be put before the filter of a policy; they leave what they do not decide to it. */
export function newerCallsPrologue(policy: SeccompPolicy): Buffer {
  const tokens = [
    architectureToken(thisMachine().architecture),
    ...policy.architectures.filter((token) => token !== X32),
  ];
  return encode(tokens.flatMap((token) => blockOf(token, policy)));
}

function blockOf(token: number, policy: SeccompPolicy): Instruction[] {
  const tests = [...allowances(token, policy), ...refusal(token, policy)];
  if (tests.length === 0) return [];
  const body = [instruction(LOAD, NUMBER), ...withoutSpecial(token, policy.architectures.includes(X32), tests)];
  return [instruction(LOAD, ARCHITECTURE), instruction(EQUAL, token, 0, body.length), ...body];
}

/** What is not of the numbers that all architectures share is left to the filter. */
function withoutSpecial(token: number, hasX32: boolean, tests: readonly Instruction[]): Instruction[] {
  const end = tests.length;
  if (token !== X86_64) return [instruction(AT_LEAST, ARM_FIRST, end), ...tests];
  if (!hasX32) return [instruction(AT_LEAST, X32_BIT, end), ...tests];
  return [
    instruction(EQUAL, SKIPPED, end + 3),
    instruction(AND, ~X32_BIT >>> 0),
    instruction(AT_LEAST, X32_FIRST, 0, 1),
    instruction(GREATER, X32_LAST, 0, end),
    ...tests,
  ];
}

/** Rules without conditions for calls that the library does not know. */
function allowances(token: number, { rules }: SeccompPolicy): Instruction[] {
  return rules
    .filter(({ conditions }) => conditions.length === 0)
    .flatMap(({ names, action }) => names.map((name) => ({ name, action })))
    .flatMap(({ name, action }) => {
      const number = NEWER_CALLS[name];
      if (number === undefined || isKnown(token, name)) return [];
      return [instruction(EQUAL, number, 0, 1), instruction(RETURN, action)];
    });
}

// The library answers -1 for a name that it does not know; other negative numbers stand for calls of others.
function isKnown(token: number, name: string): boolean {
  return syscallNumberOn(token, name) !== -1;
}

function refusal(token: number, { defaultAction, known }: SeccompPolicy): Instruction[] {
  const isLenient = defaultAction === ACTION.allow || defaultAction === ACTION.log;
  if (isLenient || defaultAction === (ACTION.errno | ENOSYS)) return [];
  const numbers = known.map((name) => numberOf(token, name));
  const newest = Math.max(...numbers.filter((number) => number < ARM_FIRST));
  if (newest < 0) return [];
  return [instruction(GREATER, newest, 0, 1), instruction(RETURN, ACTION.errno | ENOSYS)];
}

function numberOf(token: number, name: string): number {
  return NEWER_CALLS[name] ?? syscallNumberOn(token, name);
}

function encode(instructions: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(instructions.length * INSTRUCTION_SIZE);
  instructions.forEach(({ code, ifTrue, ifFalse, operand }, index) => {
    const at = bytes.writeUInt16LE(code, index * INSTRUCTION_SIZE);
    bytes.writeUInt32LE(operand, bytes.writeUInt8(ifFalse, bytes.writeUInt8(ifTrue, at)));
  });
  return bytes;
}
