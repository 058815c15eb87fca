import { type CapabilityChoice } from '../capabilities.ts';
import { type DeviceSpec } from '../spec.ts';
import { type Sysctl } from './sysctls.ts';
import { type ResourceLimit } from './ulimits.ts';

/** What the command line asks for of what the container's processes may do. */
export interface SecurityOptions extends CapabilityChoice {
  readonly seccomp: SeccompChoice;
  readonly noNewPrivileges: boolean;
  /** Name of an AppArmor profile, or `unconfined`; without it, docker's where the machine has it. */
  readonly apparmor?: string | undefined;
  /** Absolute paths inside that are to be hidden besides. */
  readonly mask: readonly string[];
  /** Absolute paths inside that are neither to be hidden nor read-only, or `ALL`. */
  readonly unmask: readonly string[];
  readonly limits: readonly ResourceLimit[];
  readonly sysctls: readonly Sysctl[];
  /** Names or numbers of groups that the user is in besides. */
  readonly groups: readonly string[];
  /** The caller's own groups are kept, whatever they are inside. */
  readonly keepGroups: boolean;
  readonly umask: number;
  readonly devices: readonly DeviceOption[];
}

/** The container's seccomp filter: docker's, none, or that of a profile. */
export type SeccompChoice = 'default' | 'unconfined' | SeccompProfileText;

interface SeccompProfileText {
  /** The file that it was read from. */
  readonly origin: string;
  /** JSON in docker's format, kept whole: the file may be gone when the container is started again. */
  readonly text: string;
}

/** A device of the host. */
export interface DeviceOption extends DeviceSpec {
  /** `r`, `w` and `m` for mknod(2). */
  readonly access: string;
}

/** Docker's defaults. */
export const ORDINARY_SECURITY: SecurityOptions = {
  privileged: false,
  add: [],
  drop: [],
  seccomp: 'default',
  noNewPrivileges: false,
  mask: [],
  unmask: [],
  limits: [],
  sysctls: [],
  groups: [],
  keepGroups: false,
  umask: 0o022,
  devices: [],
};
