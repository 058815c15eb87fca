/** A seccomp profile as docker and podman write it in JSON: what `--security-opt seccomp=FILE` takes. */
export interface SeccompProfile {
  /** SCMP_ACT_*, of a system call that no rule names. */
  readonly defaultAction: string;
  readonly defaultErrno: number;
  /** SECCOMP_FILTER_FLAG_*; undefined leaves the choice to the runtime. */
  readonly flags?: readonly string[];
  /** SCMP_ARCH_*: whose system calls may be made at all, for each machine or for all. */
  readonly architectures: readonly ArchitectureMap[];
  readonly rules: readonly ProfileRule[];
}

export interface ArchitectureMap {
  /** The machine's; undefined for any. */
  readonly native?: string;
  readonly others: readonly string[];
}

export interface ProfileRule {
  readonly names: readonly string[];
  readonly action: string;
  readonly errno?: number;
  readonly args?: readonly ProfileArgument[];
  readonly includes?: RuleScope;
  readonly excludes?: RuleScope;
}

/** A comparison of an argument, as 64 bits without a sign. */
export interface ProfileArgument {
  readonly index: number;
  /** SCMP_CMP_*. */
  readonly op: string;
  /** The mask, for SCMP_CMP_MASKED_EQ. */
  readonly value: bigint;
  readonly valueTwo: bigint;
}

/** Where a rule applies: of `includes` all must hold, of `excludes` none. */
export interface RuleScope {
  /** CAP_*, in the container's bounding set. */
  readonly caps?: readonly string[];
  /** `amd64`, `x86`, `arm64`... */
  readonly arches?: readonly string[];
  /** `MAJOR.MINOR` of the oldest kernel. */
  readonly minKernel?: string;
}
