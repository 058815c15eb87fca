import { EPERM, ENOSYS } from '../../../fs/sys/errno.ts';
import { type ProfileArgument, type ProfileRule, type RuleScope, type SeccompProfile } from './profile.ts';

// Docker's default policy: what any container may call, and what one with a certain capability may call besides. All
// else answers EPERM. A test holds it against the profile that Debian's packages ship, and names where they differ.

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}

const FILES = words(`
  access faccessat faccessat2 open openat openat2 creat close close_range name_to_handle_at
  read readv pread64 preadv preadv2 write writev pwrite64 pwritev pwritev2 lseek _llseek
  readahead fadvise64 fadvise64_64 fallocate ftruncate ftruncate64 truncate truncate64
  sendfile sendfile64 splice tee vmsplice copy_file_range cachestat
  sync syncfs fsync fdatasync sync_file_range
  stat stat64 lstat lstat64 fstat fstat64 fstatat64 newfstatat statx statfs statfs64 fstatfs fstatfs64 statmount listmount
  chmod fchmod fchmodat fchmodat2 chown chown32 fchown fchown32 fchownat lchown lchown32 umask
  utime utimes utimensat utimensat_time64 futimesat
  getxattr lgetxattr fgetxattr getxattrat listxattr llistxattr flistxattr listxattrat
  setxattr lsetxattr fsetxattr setxattrat removexattr lremovexattr fremovexattr removexattrat
  link linkat symlink symlinkat readlink readlinkat rename renameat renameat2 unlink unlinkat
  mkdir mkdirat rmdir mknod mknodat getdents getdents64 getcwd chdir fchdir
  dup dup2 dup3 pipe pipe2 fcntl fcntl64 flock ioctl
  inotify_init inotify_init1 inotify_add_watch inotify_rm_watch fanotify_mark
  io_setup io_destroy io_submit io_cancel io_getevents io_pgetevents io_pgetevents_time64 ioprio_get ioprio_set`);

const WAITING = words(`
  poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64
  epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait epoll_pwait2
  eventfd eventfd2 signalfd signalfd4 pause
  futex futex_time64 futex_waitv futex_wait futex_wake futex_requeue set_robust_list get_robust_list`);

const MEMORY = words(`
  brk mmap mmap2 munmap mremap mprotect madvise mincore msync mseal remap_file_pages map_shadow_stack
  mlock mlock2 mlockall munlock munlockall memfd_create memfd_secret membarrier
  pkey_alloc pkey_free pkey_mprotect process_mrelease`);

const PROCESSES = words(`
  fork vfork execve execveat exit exit_group wait4 waitid waitpid restart_syscall rseq
  getpid getppid gettid getpgid getpgrp setpgid getsid setsid set_tid_address
  set_thread_area get_thread_area prctl seccomp uretprobe riscv_hwprobe
  landlock_create_ruleset landlock_add_rule landlock_restrict_self
  getpriority setpriority getrlimit ugetrlimit setrlimit prlimit64 getrusage times
  sched_getaffinity sched_setaffinity sched_getattr sched_setattr sched_getparam sched_setparam
  sched_getscheduler sched_setscheduler sched_get_priority_max sched_get_priority_min
  sched_rr_get_interval sched_rr_get_interval_time64 sched_yield getcpu
  sysinfo uname getrandom pidfd_open process_vm_readv process_vm_writev ptrace`);

const SIGNALS = words(`
  kill tkill tgkill pidfd_send_signal sigaltstack sigprocmask sigreturn
  rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
  rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo`);

const IDENTITY = words(`
  getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getgroups getgroups32
  getresuid getresuid32 getresgid getresgid32
  setuid setuid32 setgid setgid32 setreuid setreuid32 setregid setregid32 setresuid setresuid32
  setresgid setresgid32 setfsuid setfsuid32 setfsgid setfsgid32 setgroups setgroups32 capget capset`);

const CLOCKS = words(`
  time gettimeofday nanosleep alarm getitimer setitimer adjtimex
  clock_gettime clock_gettime64 clock_getres clock_getres_time64 clock_adjtime clock_adjtime64
  clock_nanosleep clock_nanosleep_time64
  timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64
  timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64`);

const COMMUNICATION = words(`
  socketpair socketcall bind connect listen accept accept4 shutdown getpeername getsockname getsockopt setsockopt
  send sendto sendmsg sendmmsg recv recvfrom recvmsg recvmmsg recvmmsg_time64
  ipc shmget shmat shmdt shmctl semget semop semctl semtimedop semtimedop_time64 msgget msgsnd msgrcv msgctl
  mq_open mq_unlink mq_notify mq_getsetattr mq_timedsend mq_timedsend_time64 mq_timedreceive mq_timedreceive_time64`);

/** What a capability lets a container call besides. */
const BY_CAPABILITY: Readonly<Record<string, readonly string[]>> = {
  CAP_SYS_ADMIN: words(`
    clone clone3 unshare setns mount umount umount2 mount_setattr move_mount open_tree fsopen fsmount fsconfig fspick
    bpf perf_event_open fanotify_init lookup_dcookie quotactl quotactl_fd sethostname setdomainname syslog
    lsm_get_self_attr lsm_set_self_attr lsm_list_modules`),
  CAP_DAC_READ_SEARCH: ['open_by_handle_at'],
  CAP_SYS_BOOT: ['reboot'],
  CAP_SYS_CHROOT: ['chroot'],
  CAP_SYS_MODULE: words('init_module finit_module delete_module'),
  CAP_SYS_PACCT: ['acct'],
  CAP_SYS_PTRACE: words('kcmp pidfd_getfd process_madvise'),
  CAP_SYS_RAWIO: words('iopl ioperm'),
  CAP_SYS_TIME: words('settimeofday stime clock_settime clock_settime64'),
  CAP_SYS_TTY_CONFIG: ['vhangup'],
  CAP_SYS_NICE: words('get_mempolicy set_mempolicy set_mempolicy_home_node mbind'),
  CAP_SYSLOG: ['syslog'],
  CAP_BPF: ['bpf'],
  CAP_PERFMON: ['perf_event_open'],
};

const BY_ARCHITECTURE: readonly (readonly [arches: readonly string[], names: readonly string[]])[] = [
  [['amd64', 'x32'], ['arch_prctl']],
  [['amd64', 'x32', 'x86'], ['modify_ldt']],
  [['arm', 'arm64'], words('arm_fadvise64_64 arm_sync_file_range sync_file_range2 breakpoint cacheflush set_tls')],
];

// linux/sched.h: CLONE_NEW* of mount, cgroup, uts, ipc, user, pid and network namespaces.
const NEW_NAMESPACES = 0x7e020000n;
// The kernel's crypto sockets and the hypervisor's: neither belongs to any namespace.
const AF_ALG = 38n;
const AF_VSOCK = 40n;
// linux/personality.h: PER_LINUX, PER_LINUX32, each with and without UNAME26, and the query.
const PERSONALITIES = [0n, 0x8n, 0x20000n, 0x20008n, 0xffffffffn];

function allow(names: readonly string[], scope: { readonly includes?: RuleScope } = {}): ProfileRule {
  return { names, action: 'SCMP_ACT_ALLOW', ...scope };
}

function allowWhere(name: string, op: string, value: bigint): ProfileRule {
  const argument: ProfileArgument = { index: 0, op, value, valueTwo: 0n };
  return { names: [name], action: 'SCMP_ACT_ALLOW', args: [argument] };
}

// A filter cannot look into the structure that clone3 takes: programs fall back to clone, whose flags it sees.
const WITHOUT_ADMIN: readonly ProfileRule[] = [
  { ...allowWhere('clone', 'SCMP_CMP_MASKED_EQ', NEW_NAMESPACES), excludes: { caps: ['CAP_SYS_ADMIN'] } },
  { names: ['clone3'], action: 'SCMP_ACT_ERRNO', errno: ENOSYS, excludes: { caps: ['CAP_SYS_ADMIN'] } },
];

export const DEFAULT_PROFILE: SeccompProfile = {
  defaultAction: 'SCMP_ACT_ERRNO',
  defaultErrno: EPERM,
  architectures: [
    { native: 'SCMP_ARCH_X86_64', others: ['SCMP_ARCH_X86', 'SCMP_ARCH_X32'] },
    { native: 'SCMP_ARCH_AARCH64', others: ['SCMP_ARCH_ARM'] },
  ],
  rules: [
    ...[FILES, WAITING, MEMORY, PROCESSES, SIGNALS, IDENTITY, CLOCKS, COMMUNICATION].map((names) => allow(names)),
    allowWhere('socket', 'SCMP_CMP_LT', AF_ALG),
    allowWhere('socket', 'SCMP_CMP_EQ', AF_ALG + 1n),
    allowWhere('socket', 'SCMP_CMP_GT', AF_VSOCK),
    ...PERSONALITIES.map((value) => allowWhere('personality', 'SCMP_CMP_EQ', value)),
    ...BY_ARCHITECTURE.map(([arches, names]) => allow(names, { includes: { arches } })),
    ...Object.entries(BY_CAPABILITY).map(([name, names]) => allow(names, { includes: { caps: [name] } })),
    ...WITHOUT_ADMIN,
  ],
};
