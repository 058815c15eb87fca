import { SeccompCompiler } from '../../../fs/sys/libseccomp.ts';
import { INSTRUCTION_SIZE } from '../../../fs/sys/seccomp.ts';
import { newerCallsPrologue } from './newer-calls.ts';
import { type SeccompPolicy } from './policy.ts';

// BPF_MAXINSNS of linux/bpf_common.h.
const MOST_INSTRUCTIONS = 4096;

/** The filter of a policy, as the kernel takes it. System calls that the library does not know are left out. */
export function compileFilter(policy: SeccompPolicy): Buffer {
  const compiler = new SeccompCompiler(policy.defaultAction);
  try {
    for (const token of policy.architectures) compiler.addArchitecture(token);
    for (const { names, action, conditions } of policy.rules) {
      for (const name of names) compiler.addRule(name, action, conditions);
    }
    return checkLength(Buffer.concat([newerCallsPrologue(policy), compiler.export()]));
  } finally {
    compiler.close();
  }
}

function checkLength(program: Buffer): Buffer {
  const count = program.length / INSTRUCTION_SIZE;
  if (count <= MOST_INSTRUCTIONS) return program;
  throw new Error(
    `the seccomp profile makes a filter of ${count} instructions, and the kernel takes ${MOST_INSTRUCTIONS}`,
  );
}
