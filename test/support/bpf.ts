/** What a seccomp filter is given: struct seccomp_data of linux/seccomp.h. */
export interface SystemCall {
  readonly number: number;
  /** AUDIT_ARCH_* */
  readonly architecture: number;
  readonly args?: readonly bigint[];
}

const INSTRUCTION_SIZE = 8;
const DATA_SIZE = 64;
const ARGUMENTS = 16;

/** Runs a seccomp filter as the kernel does, over the instructions that seccomp(2) takes; answers SECCOMP_RET_*. */
export function runFilter(program: Buffer, call: SystemCall): number {
  const data = dataOf(call);
  let accumulator = 0;
  for (let at = 0; ; at += 1) {
    const offset = at * INSTRUCTION_SIZE;
    const code = program.readUInt16LE(offset);
    const operand = program.readUInt32LE(offset + 4);
    const jump = (holds: boolean): number => program.readUInt8(offset + (holds ? 2 : 3));
    if (code === 0x06) return operand;
    if (code === 0x20) accumulator = data.readUInt32LE(operand);
    else if (code === 0x54) accumulator = (accumulator & operand) >>> 0;
    else if (code === 0x05) at += operand;
    else if (code === 0x15) at += jump(accumulator === operand);
    else if (code === 0x25) at += jump(accumulator > operand);
    else if (code === 0x35) at += jump(accumulator >= operand);
    else throw new Error(`instruction ${at}: unknown code 0x${code.toString(16)}`);
  }
}

function dataOf({ number, architecture, args = [] }: SystemCall): Buffer {
  const data = Buffer.alloc(DATA_SIZE);
  data.writeUInt32LE(number >>> 0, 0);
  data.writeUInt32LE(architecture, 4);
  args.forEach((value, index) => data.writeBigUInt64LE(value, ARGUMENTS + index * 8));
  return data;
}
