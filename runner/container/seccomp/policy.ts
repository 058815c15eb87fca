import { type ArgumentCondition, COMPARE } from '../../../fs/sys/libseccomp.ts';
import { SECCOMP_FILTER_FLAG_LOG, SECCOMP_FILTER_FLAG_SPEC_ALLOW } from '../../../fs/sys/seccomp.ts';
import { EPERM } from '../../../fs/sys/errno.ts';
import { type Machine, architectureToken } from './architectures.ts';
import { type ProfileArgument, type ProfileRule, type RuleScope, type SeccompProfile } from './profile.ts';

/** What a profile comes to for one container on one machine: all that its filter depends on. */
export interface SeccompPolicy {
  /** SECCOMP_RET_* with its data. */
  readonly defaultAction: number;
  /** SECCOMP_FILTER_FLAG_*. */
  readonly flags: number;
  /** AUDIT_ARCH_* of the others whose system calls are known. */
  readonly architectures: readonly number[];
  readonly rules: readonly PolicyRule[];
  /** Every system call that the profile knows of, whether a rule for it applies or not. */
  readonly known: readonly string[];
}

interface PolicyRule {
  readonly names: readonly string[];
  readonly action: number;
  /** All must hold. */
  readonly conditions: readonly ArgumentCondition[];
}

/** What decides which of a profile's rules apply. */
export interface PolicyContext {
  readonly machine: Machine;
  /** `uname -r`. */
  readonly kernelRelease: string;
  /** The bounding set, as CAP_*. */
  readonly capabilities: ReadonlySet<string>;
}

// linux/seccomp.h: what a filter answers; the low 16 bits are data.
export const ACTION = {
  killThread: 0,
  trap: 0x00030000,
  errno: 0x00050000,
  trace: 0x7ff00000,
  log: 0x7ffc0000,
  allow: 0x7fff0000,
  killProcess: 0x80000000,
} as const;

const ACTIONS: Readonly<Record<string, number>> = {
  SCMP_ACT_KILL: ACTION.killThread,
  SCMP_ACT_KILL_THREAD: ACTION.killThread,
  SCMP_ACT_KILL_PROCESS: ACTION.killProcess,
  SCMP_ACT_TRAP: ACTION.trap,
  SCMP_ACT_ERRNO: ACTION.errno,
  SCMP_ACT_TRACE: ACTION.trace,
  SCMP_ACT_LOG: ACTION.log,
  SCMP_ACT_ALLOW: ACTION.allow,
};

const OPERATORS: Readonly<Record<string, number>> = {
  SCMP_CMP_NE: COMPARE.ne,
  SCMP_CMP_LT: COMPARE.lt,
  SCMP_CMP_LE: COMPARE.le,
  SCMP_CMP_EQ: COMPARE.eq,
  SCMP_CMP_GE: COMPARE.ge,
  SCMP_CMP_GT: COMPARE.gt,
  SCMP_CMP_MASKED_EQ: COMPARE.maskedEq,
};

// A filter for threads that execve ends needs no synchronising with them.
const FLAGS: Readonly<Record<string, number>> = {
  SECCOMP_FILTER_FLAG_TSYNC: 0,
  SECCOMP_FILTER_FLAG_LOG: SECCOMP_FILTER_FLAG_LOG,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: SECCOMP_FILTER_FLAG_SPEC_ALLOW,
};

/** Selects what of a profile holds for a container. */
export function policyOf(profile: SeccompProfile, context: PolicyContext): SeccompPolicy {
  const defaultAction = actionNumber(profile.defaultAction, profile.defaultErrno);
  const applying = profile.rules.filter((rule) => applies(rule, context));
  return {
    defaultAction,
    // Without the flag the kernel may turn the processor's speculation off, as runc found too dear.
    flags: (profile.flags ?? ['SECCOMP_FILTER_FLAG_SPEC_ALLOW']).reduce((flags, name) => flags | flagNumber(name), 0),
    architectures: architecturesOf(profile, context.machine),
    rules: applying.flatMap(rulesOf).filter(({ action }) => action !== defaultAction),
    known: [...new Set(profile.rules.flatMap(({ names }) => names))],
  };
}

function actionNumber(name: string, errno: number | undefined): number {
  const action = ACTIONS[name];
  if (name === 'SCMP_ACT_NOTIFY') throw new Error('SCMP_ACT_NOTIFY in a seccomp profile is not supported');
  if (action === undefined) throw new Error(`the seccomp profile names ${JSON.stringify(name)}, which is no action`);
  return action === ACTION.errno || action === ACTION.trace ? action | (errno ?? EPERM) : action;
}

function flagNumber(name: string): number {
  const flag = FLAGS[name];
  if (flag === undefined)
    throw new Error(`the seccomp profile has the flag ${JSON.stringify(name)}, which is not supported`);
  return flag;
}

function architecturesOf({ architectures }: SeccompProfile, machine: Machine): number[] {
  const maps = architectures.filter(({ native }) => native === undefined || native === machine.architecture);
  return maps.flatMap(({ others }) => others.filter((name) => name !== machine.architecture).map(architectureToken));
}

function applies({ includes = {}, excludes = {} }: ProfileRule, context: PolicyContext): boolean {
  return includesAll(includes, context) && !excludesAny(excludes, context);
}

function includesAll({ caps = [], arches = [], minKernel }: RuleScope, context: PolicyContext): boolean {
  const isHere = arches.length === 0 || arches.includes(context.machine.name);
  const hasAll = caps.every((name) => context.capabilities.has(name));
  return isHere && hasAll && (minKernel === undefined || isAtLeast(context.kernelRelease, minKernel));
}

function excludesAny({ caps = [], arches = [], minKernel }: RuleScope, context: PolicyContext): boolean {
  const isHere = arches.includes(context.machine.name);
  const hasOne = caps.some((name) => context.capabilities.has(name));
  return isHere || hasOne || (minKernel !== undefined && isAtLeast(context.kernelRelease, minKernel));
}

function isAtLeast(release: string, version: string): boolean {
  const [major = 0, minor = 0] = numbersOf(release);
  const [wantedMajor = 0, wantedMinor = 0] = numbersOf(version);
  return major > wantedMajor || (major === wantedMajor && minor >= wantedMinor);
}

function numbersOf(version: string): number[] {
  return (version.match(/\d+/g) ?? []).slice(0, 2).map(Number);
}

function rulesOf({ names, action: actionName, errno, args = [] }: ProfileRule): PolicyRule[] {
  const action = actionNumber(actionName, errno);
  const conditions = args.map(conditionOf);
  const isRepeated = new Set(args.map(({ index }) => index)).size < args.length;
  // libseccomp takes one comparison of an argument a rule: several of them mean, as in runc, that one must hold.
  return isRepeated
    ? conditions.map((condition) => ({ names, action, conditions: [condition] }))
    : [{ names, action, conditions }];
}

function conditionOf({ index, op, value, valueTwo }: ProfileArgument): ArgumentCondition {
  const compare = OPERATORS[op];
  if (compare === undefined) throw new Error(`the seccomp profile names ${JSON.stringify(op)}, which is no comparison`);
  return { index, compare, value, valueTwo };
}
