// AUDIT_ARCH_* of linux/audit.h, by which a filter knows whose system call it is given; x32 has a token of libseccomp's.
const TOKENS: Readonly<Record<string, number>> = {
  SCMP_ARCH_X86: 0x40000003,
  SCMP_ARCH_X86_64: 0xc000003e,
  SCMP_ARCH_X32: 0x4000003e,
  SCMP_ARCH_ARM: 0x40000028,
  SCMP_ARCH_AARCH64: 0xc00000b7,
  SCMP_ARCH_MIPS: 0x00000008,
  SCMP_ARCH_MIPS64: 0x80000008,
  SCMP_ARCH_MIPS64N32: 0xa0000008,
  SCMP_ARCH_MIPSEL: 0x40000008,
  SCMP_ARCH_MIPSEL64: 0xc0000008,
  SCMP_ARCH_MIPSEL64N32: 0xe0000008,
  SCMP_ARCH_PPC: 0x00000014,
  SCMP_ARCH_PPC64: 0x80000015,
  SCMP_ARCH_PPC64LE: 0xc0000015,
  SCMP_ARCH_S390: 0x00000016,
  SCMP_ARCH_S390X: 0x80000016,
  SCMP_ARCH_PARISC: 0x0000000f,
  SCMP_ARCH_PARISC64: 0x8000000f,
  SCMP_ARCH_RISCV64: 0xc00000f3,
  SCMP_ARCH_LOONGARCH64: 0xc0000102,
};

export const X86_64 = 0xc000003e;
export const X32 = 0x4000003e;

/** This machine, as the two worlds of names call it. */
export interface Machine {
  /** Among a profile's architectures. */
  readonly architecture: string;
  /** In the scope of a rule. */
  readonly name: string;
}

const MACHINES: Readonly<Record<string, Machine>> = {
  x64: { architecture: 'SCMP_ARCH_X86_64', name: 'amd64' },
  arm64: { architecture: 'SCMP_ARCH_AARCH64', name: 'arm64' },
};

export function thisMachine(): Machine {
  const machine = MACHINES[process.arch];
  if (machine === undefined) throw new Error(`lamina runs on x64 and arm64, not on ${process.arch}`);
  return machine;
}

/** The kernel's number of an architecture's name in a profile. */
export function architectureToken(name: string): number {
  const token = TOKENS[name];
  if (token === undefined)
    throw new Error(`the seccomp profile names ${JSON.stringify(name)}, which is no architecture`);
  return token;
}
