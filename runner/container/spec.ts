import { type TerminalSize } from '../../fs/sys/terminal.ts';
import { type Sysctl } from './options/sysctls.ts';
import { type KeptUser } from './options/user-namespace.ts';
import { type SystemPaths } from './system-paths.ts';
import { type MountAttributes, type TmpfsRequest } from './volume/mount-request.ts';

/** A directory or file of the host, bound into a container. */
export interface Volume extends MountAttributes {
  readonly type?: 'bind';
  /** Absolute path outside. */
  readonly source: string;
  /** Absolute path inside. */
  readonly destination: string;
  /** Where it is empty, it gets what the container has in its place. */
  readonly populate?: true;
}

/** The command and what it starts with. */
export interface ProcessSpec {
  readonly args: readonly string[];
  /** `NAME=VALUE`; HOME is added from the user's passwd line where it is missing. */
  readonly env: readonly string[];
  readonly workdir: string;
  /** The working directory is the image's, made where it is missing; one that was asked for must be there. */
  readonly createWorkdir: boolean;
  /** `user[:group]`, names or numbers; empty for root. */
  readonly user: string;
  /** Where to write the /etc/passwd and /etc/group of a user that the container's own do not list. */
  readonly passwdFile: string;
  readonly groupFile: string;
  /** The caller, who is listed under his own name whoever the command runs as, and whose group is among its groups. */
  readonly kept?: KeptUser | undefined;
  /** A pty as the controlling terminal and all standard files. */
  readonly terminal?: TerminalSpec | undefined;
}

/** The terminal that a command is to have. */
interface TerminalSpec {
  /** Before the command starts; undefined where the client has no terminal. */
  readonly size?: TerminalSize | undefined;
}

/** What is mounted in the container beside the kernel's own filesystems. */
export interface MountSpec {
  readonly readOnly: boolean;
  /** In a read-only root, /run, /tmp and /var/tmp are temporary. */
  readonly temporaries: boolean;
  readonly volumes: readonly (Volume | TmpfsRequest)[];
}

/** The container's network. */
interface NetworkSpec {
  /** It is in a new one of its own, where only the loopback interface is sure to be there. */
  readonly own: boolean;
}

/** A hierarchy of control groups as the container sees it. */
export interface CgroupMount {
  /** Below /sys/fs/cgroup; empty for what is mounted there itself. */
  readonly name: string;
  readonly type: 'cgroup' | 'cgroup2';
  /** Of version 1: mount(2) finds the hierarchy by them. */
  readonly controllers: readonly string[];
}

/** The container's control groups. */
interface CgroupSpec {
  /** Hierarchies that show the container its own group as their root. */
  readonly mounts: readonly CgroupMount[];
}

/** What holds for every process of the container. */
export interface SecuritySpec {
  /** The most that any of them can have; numbers of linux/capability.h. */
  readonly bounding: readonly number[];
  /** What one of another user than root has, and passes on. */
  readonly ambient: readonly number[];
  readonly seccomp?: SeccompSpec | undefined;
  /** Name of the AppArmor profile. */
  readonly apparmor?: string | undefined;
  readonly noNewPrivileges: boolean;
  readonly umask: number;
  readonly limits: readonly LimitSpec[];
  readonly groups: GroupSpec;
}

/** A seccomp filter. */
export interface SeccompSpec {
  /** Instructions, each a struct sock_filter, in base64. */
  readonly program: string;
  /** SECCOMP_FILTER_FLAG_*. */
  readonly flags: number;
}

export interface LimitSpec {
  readonly name: string;
  /** RLIMIT_*. */
  readonly resource: number;
  /** Decimal digits: they have 64 bits. */
  readonly soft: string;
  readonly hard: string;
}

/** Groups besides those that list the user. */
interface GroupSpec {
  readonly names: readonly string[];
  /** The caller's are kept, and no others taken. */
  readonly keep: boolean;
}

/** What the container has of the kernel's own filesystems and parameters. */
export interface KernelSpec {
  readonly paths: SystemPaths;
  /** /sys and the control groups can be written to. */
  readonly writable: boolean;
  readonly sysctls: readonly Sysctl[];
  /** Besides those that every container has. */
  readonly devices: readonly DeviceSpec[];
  /** Devices that are made in its /dev can be opened: its control group tells which. */
  readonly makesDevices: boolean;
}

/** The container's namespaces but those of the network and of processes, which its stage is born in. */
export interface NamespaceSpec {
  /** CLONE_NEW*: those that are new. */
  readonly own: number;
  readonly joined: readonly JoinedNamespace[];
  readonly sharedMemory: SharedMemorySpec;
  /** Lines for /proc/PID/timens_offsets; without them its clocks are the host's. */
  readonly timeOffsets?: readonly string[] | undefined;
  /** Its processes are the host's, or another container's. */
  readonly foreignProcesses: boolean;
}

/** A namespace of another container. */
export interface JoinedNamespace {
  /** CLONE_NEW*. */
  readonly flag: number;
  /** In the host's /proc. */
  readonly path: string;
  /** What the symbolic link `path` says, which no other namespace has. */
  readonly link: string;
}

/** /dev/shm. */
export type SharedMemorySpec =
  | { readonly kind: 'own'; readonly size: number }
  | { readonly kind: 'none' }
  /** Another container's, in its mount namespace, or the host's. */
  | { readonly kind: 'shared'; readonly namespace?: JoinedNamespace | undefined };

/** A device of the host that the container has. */
export interface DeviceSpec {
  /** Absolute path outside. */
  readonly source: string;
  /** Absolute path inside. */
  readonly destination: string;
  readonly type: 'b' | 'c';
  readonly major: number;
  readonly minor: number;
}

/** What the stage needs to turn itself into a container's first process; JSON over a pipe. */
export interface StageSpec {
  /** Absolute path of the mounted union. */
  readonly rootfs: string;
  readonly hostname: string;
  readonly process: ProcessSpec;
  readonly mounts: MountSpec;
  readonly network: NetworkSpec;
  readonly cgroup: CgroupSpec;
  readonly security: SecuritySpec;
  readonly kernel: KernelSpec;
  readonly namespaces: NamespaceSpec;
  /** The stage is in a user namespace of the container's own, where it is nobody yet. */
  readonly hasOwnUsers: boolean;
}

/** Why the stage did not get as far as the command. */
export interface StageFailure {
  readonly message: string;
  readonly exitCode: number;
}

/** How a container's root was changed: by pivot_root(2), by MS_MOVE and chroot(2), or by chroot(2) alone. */
export type RootChange = 'pivot_root' | 'move' | 'chroot';

/** What a stage tells on its way to the command, a line of JSON for each member. */
export interface StageStatus {
  readonly rootChange?: RootChange;
  readonly failure?: StageFailure;
}

/** Descriptors on which the stage is given its spec and tells its status. */
export const SPEC_FD = 3;
export const STATUS_FD = 4;
/** A socket over which the stage hands out the master of its pty; /dev/null where it is to have none. */
export const TERMINAL_FD = 5;

/** Exit codes of docker and podman for what goes wrong on the way to the command. */
export const EXIT = { ownError: 125, cannotInvoke: 126, notFound: 127, signal: 128 } as const;

/** An error that decides the exit code of `lamina run`. */
export class RunError extends Error {
  override readonly name = 'RunError';
  readonly exitCode: number;

  constructor(message: string, exitCode: number) {
    super(message);
    this.exitCode = exitCode;
  }
}
