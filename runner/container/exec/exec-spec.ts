import { type ProcessSpec, type SecuritySpec } from '../spec.ts';

/** What the stage needs to turn itself into one more process of a container; JSON over a pipe. */
export interface ExecSpec {
  readonly process: ProcessSpec;
  /** CLONE_NEW* flags: the namespaces of the container that are not the supervisor's own. */
  readonly namespaces: number;
  /** The container's root is a plain chroot, which its mount namespace does not tell. */
  readonly chroot: boolean;
  readonly security: SecuritySpec;
  /** How many control groups it is to join: descriptors of their cgroup.procs begin at CGROUP_FD. */
  readonly cgroups: number;
}

/** Descriptors of a stage that is added to a container: its first process (pidfd_open(2)), and that one's root. */
export const INIT_FD = 6;
export const ROOT_FD = 7;
export const CGROUP_FD = 8;
