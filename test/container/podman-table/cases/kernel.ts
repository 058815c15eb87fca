import { about } from '../case.ts';
import { BASE as B } from '../images.ts';
const STATUS = "grep -E '^(Cap(Inh|Prm|Eff|Bnd|Amb)|NoNewPrivs|Seccomp):' /proc/self/status";

export const kernel = about('kernel', [
  { name: 'capabilities by default', steps: [`it run --rm ${B} ${STATUS}`, `it run --rm -u guest ${B} ${STATUS}`] },
  {
    name: '--cap-add, --cap-drop',
    steps: [
      `it run --rm --cap-add SYS_PTRACE --cap-drop chown ${B} ${STATUS}`,
      `it run --rm --cap-drop ALL --cap-add CAP_KILL ${B} ${STATUS}`,
      `it run --rm --cap-add all ${B} ${STATUS}`,
      `it run --rm -u guest --cap-add NET_ADMIN ${B} ${STATUS}`,
      `it run --rm --cap-add bogus ${B} true`,
    ],
  },
  {
    name: '--privileged',
    steps: [
      `it run --rm --privileged ${B} ${STATUS}`,
      `it run --rm --privileged ${B} sh -c 'grep " /sys sysfs" /proc/mounts | cut -d" " -f4; test -e /dev/loop-control || test -e /dev/mem && echo devices; head -c 1 /proc/timer_list | wc -c; ls /sys/firmware | wc -l | sed "s/[1-9].*/some/"'`,
    ],
  },
  {
    name: 'no-new-privileges, seccomp=unconfined',
    steps: [
      `it run --rm --security-opt no-new-privileges ${B} ${STATUS}`,
      `it run --rm --security-opt seccomp=unconfined ${B} ${STATUS}`,
      `it run --rm --security-opt bogus ${B} true`,
      `it run --rm --security-opt seccomp=/none ${B} true`,
    ],
  },
  {
    name: '--ulimit',
    steps: [
      `it run --rm --ulimit nofile=1000:2000 --ulimit nproc=500:600 --ulimit core=0 ${B} sh -c 'ulimit -n; ulimit -Hn; ulimit -c'`,
      `it run --rm --ulimit bogus=1 ${B} true`,
      `it run --rm --ulimit nofile=5:3 ${B} true`,
    ],
  },
  {
    name: '--sysctl',
    steps: [
      `it run --rm --sysctl kernel.msgmax=12345 ${B} cat /proc/sys/kernel/msgmax`,
      `it run --rm --sysctl vm.swappiness=1 ${B} true`,
      `it run --rm --sysctl bogus ${B} true`,
    ],
  },
  {
    name: 'masked paths',
    steps: [
      `it run --rm ${B} sh -c 'for f in keys timer_list sched_debug kcore; do test -e /proc/$f && cat /proc/$f | wc -c; done; ls -A /proc/acpi /proc/scsi /sys/firmware'`,
      `it run --rm --security-opt mask=/srv/tree ${B} ls /srv/tree`,
      `it run --rm --security-opt unmask=ALL ${B} sh -c 'head -c1 /proc/timer_list | wc -c'`,
    ],
  },
  {
    name: 'read-only paths',
    steps: [
      `it run --rm ${B} sh -c 'for d in sys irq bus fs; do grep " /proc/$d " /proc/mounts | cut -d" " -f2,3,4 | sed "s/,.*//"; done; echo 1 >/proc/sys/kernel/domainname; echo 1 >/proc/sysrq-trigger'`,
    ],
  },
  {
    name: '/proc/mounts of the kernel’s filesystems',
    steps: [
      `it run --rm ${B} sh -c 'for d in /proc /dev /dev/pts /dev/shm /dev/mqueue /sys; do grep " $d " /proc/mounts; done' | sed 's/,size=65536k//; s/,[ug]id=[0-9]*//g; s/^udev/devtmpfs/'`,
    ],
  },
  {
    name: '/dev',
    steps: [
      `it run --rm ${B} sh -c 'ls /dev; ls -l /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty | sed "s/ .*,/ /; s/  */ /g" | cut -d" " -f1,2,6-; ls -ld /dev/shm /dev/mqueue | cut -c1-10; for l in fd stdin stdout stderr ptmx core; do readlink /dev/$l; done'`,
    ],
    normalise: [[/\w{3} +\d+ +[\d:]+ /g, '']],
  },
  {
    name: '--device',
    steps: [
      `it run --rm --device /dev/null:/dev/mine ${B} sh -c 'echo x >/dev/mine && ls -l /dev/mine | cut -c1'`,
      `it run --rm --device /dev/none ${B} true`,
    ],
  },
  {
    name: '--shm-size',
    steps: [
      `it run --rm --shm-size 10m ${B} sh -c 'df -k /dev/shm | tail -n 1 | sed "s/  */ /g" | cut -d" " -f2'`,
      `it run --rm --shm-size bogus ${B} true`,
    ],
  },
  { name: '--pids-limit', steps: [`it run --rm --pids-limit 20 ${B} sh -c 'cat /sys/fs/cgroup/pids/pids.max'`] },
  {
    name: '--memory, --cpus, --cpuset-cpus',
    steps: [
      `it run --rm -m 64m ${B} sh -c 'cat /sys/fs/cgroup/memory/memory.limit_in_bytes'`,
      `it run --rm --cpus 0.5 --cpu-shares 512 ${B} sh -c 'cd /sys/fs/cgroup/cpu; cat cpu.cfs_quota_us cpu.cfs_period_us cpu.shares'`,
      `it run --rm --cpuset-cpus 0 ${B} sh -c 'cat /sys/fs/cgroup/cpuset/cpuset.cpus; grep Cpus_allowed_list /proc/self/status'`,
      `it run --rm -m 1k ${B} true`,
    ],
  },
  {
    name: '/sys/fs/cgroup is its own and read-only',
    steps: [
      `it run --rm ${B} sh -c 'cut -d: -f3 /proc/self/cgroup | sort -u; mkdir /sys/fs/cgroup/pids/made-inside; grep " /sys/fs/cgroup/pids " /proc/mounts | cut -d" " -f4 | cut -d, -f1-4'`,
    ],
    normalise: [[/^\/.+$/gm, '<a group of the host>']],
  },
  { name: '--oom-score-adj', steps: [`it run --rm --oom-score-adj 500 ${B} cat /proc/self/oom_score_adj`] },
  {
    name: '--pid, --ipc, --uts of the host',
    steps: [
      `it run --rm --pid host ${B} sh -c 'test $$ = 1 || echo not 1'`,
      `it run --rm --uts host ${B} uname -n | grep -cxF "$(uname -n)"`,
      `it run --rm --ipc host ${B} readlink /proc/self/ns/ipc | grep -cxF "$(readlink /proc/self/ns/ipc)"`,
      `it run --rm --uts host -h x ${B} true`,
      `it run --rm --pid bogus ${B} true`,
    ],
  },
  {
    name: '--net none and host',
    steps: [
      `it run --rm --net none ${B} sh -c 'cut -d: -f1 /proc/net/dev | tail -n +3'`,
      `it run --rm --net host ${B} readlink /proc/self/ns/net | grep -cxF "$(readlink /proc/self/ns/net)"`,
      `it run --rm --net host ${B} cat /etc/hostname | grep -cxF "$(uname -n)"`,
      `it run --rm --net container:none ${B} true`,
    ],
  },
  {
    name: 'container:NAME for net, ipc, pid, uts',
    steps: [
      `it run -d --name c --ipc shareable -h shared ${B} sleep 100 >/dev/null`,
      `for n in net ipc pid uts; do it run --rm --$n container:c ${B} readlink /proc/self/ns/$n; it exec c readlink /proc/self/ns/$n; done | uniq | wc -l`,
    ],
  },
  { name: '--userns=host', steps: [`it run --rm --userns host ${B} cat /proc/self/uid_map`] },
]);
