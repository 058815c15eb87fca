import { type DeviceRule } from '../options/device-rule.ts';

// A program of the kernel's BPF machine, as linux/bpf.h and linux/bpf_common.h define it. It is given a
// `struct bpf_cgroup_dev_ctx`: the kind of access in the upper half of a word and the type of the device in the lower,
// then major and minor number; it answers 1 where the access is allowed.

const LOAD_WORD = 0x61;
const MOVE_IMMEDIATE = 0xb7;
const MOVE_REGISTER_32 = 0xbc;
const AND_32 = 0x54;
const SHIFT_RIGHT_32 = 0x74;
const JUMP_UNLESS_EQUAL = 0x55;
const EXIT = 0x95;

const RESULT = 0;
const CONTEXT = 1;
const TYPE = 2;
const ACCESS = 3;
const MAJOR = 4;
const MINOR = 5;
const SCRATCH = 6;

const TYPES = { b: 1, c: 2 } as const;
const ACCESSES: Readonly<Record<string, number>> = { m: 1, r: 2, w: 4 };
const ALL_ACCESSES = 7;

interface Instruction {
  readonly code: number;
  readonly to: number;
  readonly from?: number;
  readonly offset?: number;
  readonly value?: number;
}

/** Instructions that allow what one of the rules allows. */
export function deviceProgram(rules: readonly DeviceRule[]): Uint8Array {
  const instructions = [
    { code: LOAD_WORD, to: TYPE, from: CONTEXT, offset: 0 },
    { code: MOVE_REGISTER_32, to: ACCESS, from: TYPE },
    { code: SHIFT_RIGHT_32, to: ACCESS, value: 16 },
    { code: AND_32, to: TYPE, value: 0xffff },
    { code: LOAD_WORD, to: MAJOR, from: CONTEXT, offset: 4 },
    { code: LOAD_WORD, to: MINOR, from: CONTEXT, offset: 8 },
    ...rules.flatMap(allow),
    ...answer(0),
  ];
  return encode(instructions);
}

function answer(value: number): Instruction[] {
  return [
    { code: MOVE_IMMEDIATE, to: RESULT, value },
    { code: EXIT, to: 0 },
  ];
}

/** Allows what a rule allows; else goes on with what follows. */
function allow({ type, major, minor, access }: DeviceRule): Instruction[] {
  const granted = Object.entries(ACCESSES).reduce(
    (bits, [letter, bit]) => (access.includes(letter) ? bits | bit : bits),
    0,
  );
  const checks: [register: number, value: number][] = [];
  if (type !== 'a') checks.push([TYPE, TYPES[type]]);
  if (major !== undefined) checks.push([MAJOR, major]);
  if (minor !== undefined) checks.push([MINOR, minor]);
  const others: Instruction[] =
    granted === ALL_ACCESSES
      ? []
      : [
          { code: MOVE_REGISTER_32, to: SCRATCH, from: ACCESS },
          { code: AND_32, to: SCRATCH, value: ALL_ACCESSES & ~granted },
        ];
  if (others.length > 0) checks.push([SCRATCH, 0]);
  const end = answer(1);
  // Each jump skips the checks after it and the answer.
  const jumps = checks.map(([to, value], at): Instruction => ({
    code: JUMP_UNLESS_EQUAL,
    to,
    value,
    offset: checks.length - at - 1 + end.length,
  }));
  return [...others, ...jumps, ...end];
}

function encode(instructions: readonly Instruction[]): Uint8Array {
  const code = new DataView(new ArrayBuffer(instructions.length * 8));
  for (const [at, { code: operation, to, from = 0, offset = 0, value = 0 }] of instructions.entries()) {
    code.setUint8(at * 8, operation);
    code.setUint8(at * 8 + 1, (from << 4) | to);
    code.setInt16(at * 8 + 2, offset, true);
    code.setInt32(at * 8 + 4, value, true);
  }
  return new Uint8Array(code.buffer);
}
