import { type Difference, exits } from './case.ts';

const FAILED = 'a command that fails ends with 1, as docker has it; podman has 125 for most failures';

/** Of what containers are and become, and of images; by the names of cases. */
export const OF_LIFE: Readonly<Record<string, readonly Difference[]>> = {
  'kernel: /proc/mounts of the kernel’s filesystems': [
    {
      reason: '/dev is nodev, since each device is a mount of its own, and not noexec, as docker’s',
      lines: ['1- tmpfs /dev tmpfs rw,nosuid,noexec,mode=755 0 0', '1+ tmpfs /dev tmpfs rw,nosuid,nodev,mode=755 0 0'],
    },
    {
      reason: 'the 64 MiB of /dev/shm are docker’s; podman has 64,000 KiB',
      lines: [
        '1- shm /dev/shm tmpfs rw,nosuid,nodev,noexec,relatime,size=64000k 0 0',
        '1+ tmpfs /dev/shm tmpfs rw,nosuid,nodev,noexec,relatime 0 0',
      ],
    },
  ],
  'kernel: --pids-limit': [
    {
      reason: 'a limit that cannot be set is an error; podman ignores it, with a warning, under version 1 without root',
      on: 'user',
      lines: [
        '1- stderr: Resource limits are not supported and ignored on cgroups V1 rootless systems',
        '1- stderr: cat: /sys/fs/cgroup/pids/pids.max: No such file or directory',
        '1- exit 1',
        '1+ stderr: <message>',
        '1+ exit 125',
      ],
    },
  ],
  'kernel: --memory, --cpus, --cpuset-cpus': [
    {
      reason: 'less than docker’s 6 MiB is refused before the start: 125; podman leaves it to its runtime: 126',
      on: 'root',
      lines: ['4- exit 126', '4+ exit 125'],
    },
    {
      reason: 'a limit that cannot be set is an error; podman ignores it, with a warning, under version 1 without root',
      on: 'user',
      lines: [
        '1- 9223372036854771712',
        '1- stderr: Resource limits are not supported and ignored on cgroups V1 rootless systems',
        '1- exit 0',
        '1+ stderr: <message>',
        '1+ exit 125',
        '2- -1',
        '2- 100000',
        '2- 1024',
        '2- stderr: Resource limits are not supported and ignored on cgroups V1 rootless systems',
        '2- exit 0',
        '2+ stderr: <message>',
        '2+ exit 125',
        '3- 0-1',
        '3- Cpus_allowed_list:\t0-1',
        '3- stderr: Resource limits are not supported and ignored on cgroups V1 rootless systems',
        '3- exit 0',
        '3+ stderr: <message>',
        '3+ exit 125',
        '4- stderr: Resource limits are not supported and ignored on cgroups V1 rootless systems',
        '4- exit 0',
        '4+ stderr: <message>',
      ],
    },
    {
      reason: 'less than docker’s 6 MiB is refused before the start: 125; podman leaves it to its runtime: 126',
      on: 'user',
      lines: ['4+ exit 125'],
    },
  ],
  'kernel: /sys/fs/cgroup is its own and read-only': [
    {
      reason:
        'a cgroup namespace of its own also under version 1, where docker and podman share the host’s: the host’s paths do not show. Without a group of its own, an ordinary user’s container has no groups mounted',
      on: 'root',
      lines: ['1- <a group of the host>', '1+ /'],
    },
    {
      reason:
        'a cgroup namespace of its own also under version 1, where docker and podman share the host’s: the host’s paths do not show. Without a group of its own, an ordinary user’s container has no groups mounted',
      on: 'user',
      lines: [
        '1- <a group of the host>',
        '1- ro,nosuid,nodev,noexec',
        "1- stderr: mkdir: cannot create directory '/sys/fs/cgroup/pids/made-inside': Read-only file system",
        "1+ stderr: mkdir: cannot create directory '/sys/fs/cgroup/pids/made-inside': No such file or directory",
      ],
    },
  ],
  'kernel: --pid, --ipc, --uts of the host': [
    {
      reason: 'runc cannot mount /dev/mqueue there, and podman fails; lamina leaves it out',
      on: 'user',
      lines: ['3- 0', '3- stderr: <message>', '3- exit 1', '3+ 1', '3+ exit 0'],
    },
  ],
  'life: run -d, logs, wait': [
    {
      reason: '--until 1h is an hour ago, as docker has it; podman takes it for an hour from now',
      lines: ['7- one', '7- two', '7- stderr: err'],
    },
  ],
  'life: pause, unpause': [
    {
      reason: 'a paused container is Running, too, in docker’s words; not in podman’s',
      on: 'root',
      lines: ['3- paused true false', '3+ paused true true'],
    },
    { reason: FAILED, on: 'user', lines: ['2- exit 125', '2+ exit 1', '4- exit 125', '4+ exit 1'] },
  ],
  'life: a name that is taken': [
    { reason: 'podman prints the name of the container that --replace removes', lines: ['3- c'] },
  ],
  'life: containers by the first digits of their ids': [
    { reason: 'docker’s Name begins with a slash', lines: ['2- c', '2+ /c'] },
  ],
  'life: attach': [
    {
      reason: 'docker’s attach ends with the container’s exit code; podman 4.3 prints an empty line and ends with 0',
      lines: ['2- ', '2- exit 0', '2+ exit 8'],
    },
  ],
  'life: top': [
    {
      reason: 'docker takes options of ps(1); podman takes names of columns, or a ps in the container',
      lines: ['2- exit 125', '2+ exit 1'],
    },
  ],
  'ps and inspect: ps -a, --format, --filter': [
    {
      reason: 'State, Status, Image, Command and the order, the newest first, are docker’s',
      lines: [
        '2- d localhost/base:latest Up <age> ago',
        '2+ d localhost/base running',
        '3- c|Created|Created|sleep 100',
        '3- d|Up <age> ago|Up <age> ago|sleep 100',
        '3- e|Exited (3) <age> ago|Exited (3) <age> ago|sh -c exit 3',
        '3+ c|Created|created|"sleep 100"',
        '3+ d|Up <age>|running|"sleep 100"',
        '3+ e|Exited (3) <age> ago|exited|"sh -c exit 3"',
        '12- d',
        '12+ d',
      ],
    },
  ],
  'ps and inspect: ps, the table': [
    {
      reason: 'Image is as it was given and Command in quotes, as docker has them',
      lines: [
        '2- <short id> localhost/base:latest sleep 100 <age> ago Created c',
        '2+ <short id> localhost/base "sleep 100" <age> ago Created c',
        '4- c localhost/base:latest',
        '4+ c localhost/base',
        '5- <short id> localhost/base:latest sleep 100 <age> ago Created c',
        '5+ <short id> localhost/base "sleep 100" <age> ago Created c',
      ],
    },
  ],
  'ps and inspect: inspect: state': [
    {
      reason: 'Name with its slash, Platform and the digest of Image are docker’s',
      lines: [
        '4- c 0 <no newline>',
        '4- stderr: <message>',
        '4- exit 125',
        '4+ /c 0 linux sh [-c exit 4]',
        '4+ exit 0',
        '5- <id> <id> <time>',
        '5+ <id> <digest> <time>',
      ],
    },
  ],
  'ps and inspect: inspect: Config': [
    {
      reason: 'Image as it was given, the number of StopSignal and what Env has of its own: docker’s',
      lines: [
        '2- box guest /srv [echo hi]  localhost/base:latest',
        '2+ box guest /srv [echo hi] [] localhost/base',
        '3- true true false false',
        '3+ true true true true',
        '4- HOSTNAME=box',
        '4- TERM=xterm',
        '4- container=podman',
        '5- 10',
        '5+ USR1',
      ],
    },
  ],
  'ps and inspect: inspect: Entrypoint and Cmd': [
    {
      reason: 'docker’s Entrypoint is a list; podman 4.3 joins it',
      lines: [
        '2- "/bin/echo entry" ["of","image"] /bin/echo ["entry","of","image"]',
        '2- "/bin/echo entry" ["x","y"] /bin/echo ["entry","x","y"]',
        '2+ ["/bin/echo","entry"] ["of","image"] /bin/echo ["entry","of","image"]',
        '2+ ["/bin/echo","entry"] ["x","y"] /bin/echo ["entry","x","y"]',
      ],
    },
  ],
  'ps and inspect: inspect: HostConfig': [
    {
      reason: 'capabilities as given, the ipc namespace private and the log driver json-file: docker’s',
      on: 'root',
      lines: [
        '3- none private shareable private always',
        '3+ none private private private always',
        '4- [] [CAP_SYS_RESOURCE]',
        '4+ [CAP_NET_ADMIN] [CAP_CHOWN]',
        '7- k8s-file',
        '7+ json-file',
      ],
    },
    {
      reason: 'podman ignores limits under version 1 without root, with a warning',
      on: 'user',
      lines: [
        '1- stderr: Resource limits are not supported and ignored on cgroups V1 rootless systems',
        '2- true true false true 0 1048576 3',
        '2+ true true false true 7 1048576 3',
      ],
    },
    {
      reason: 'capabilities as given, the ipc namespace private and the log driver json-file: docker’s',
      on: 'user',
      lines: [
        '3- none private shareable private always',
        '3+ none private private private always',
        '4- [] []',
        '4+ [CAP_NET_ADMIN] [CAP_CHOWN]',
        '7- k8s-file',
        '7+ json-file',
      ],
    },
  ],
  'ps and inspect: inspect: Mounts and Binds': [
    {
      reason: 'tmpfs is listed among Mounts, too; Binds are as given, as docker’s',
      lines: [
        '3- volume vol /v true local',
        '3+ volume vol /v true local',
        '3+ tmpfs  /t true ',
        '4- <here>/d:/m:ro',
        '4- vol:/v:rw',
        '4+ :/m:ro',
        '4+ vol:/v',
        '5- map[/t:rw,tmpcopyup]',
        '5+ map[/t:]',
      ],
    },
  ],
  'ps and inspect: inspect: of a type': [
    { reason: 'docker’s names', lines: ['2- c', '2+ /c', '3- localhost/base:latest', '3+ localhost/base'] },
  ],
  'exec: exit codes': [
    {
      reason: 'exec refuses directory and user with run’s code, 126; podman has others for each',
      lines: [
        '6- exit 127',
        '6+ exit 126',
        '7- exit 255',
        '7+ exit 126',
        '8- exit 125',
        '8+ exit 1',
        '9- exit 255',
        '9+ exit 125',
      ],
    },
  ],
  'exec: in a container that has ended, or was not started': [
    {
      reason: 'docker has 1 where the container does not run, podman 255',
      lines: ['2- exit 255', '2+ exit 1', '4- exit 255', '4+ exit 1'],
    },
  ],
  'exec: -d': [{ reason: 'docker’s exec -d prints nothing, podman an id', lines: ['2- 1', '2+ 0'] }],
  'cp: a file, both ways': [{ reason: FAILED, lines: ['9- exit 125', '9+ exit 1'] }],
  'cp: a directory, with and without /.': [
    {
      reason: 'a directory’s name ends with a slash in the archive, as tar(1) and docker write it',
      lines: [
        '8- d',
        '8- d/e',
        '8+ d/',
        '8+ d/e/',
        '9- data',
        '9- data/e',
        '9+ data/',
        '9+ data/e/',
        '10- new',
        '10- new/e',
        '10+ new/',
        '10+ new/e/',
        '11- exit 125',
        '11+ exit 1',
        '12- exit 125',
        '12+ exit 1',
      ],
    },
  ],
  'cp: a tar archive, both ways': [
    {
      reason: 'a directory’s name ends with a slash in the archive, as tar(1) and docker write it',
      lines: ['3- d', '3+ d/'],
    },
    { reason: FAILED, lines: exits(125, 1, [4, 5, 6]) },
  ],
  'cp: a symlink, and what it leads to': [
    {
      reason: 'docker copies the symlink itself, unless -L is given; podman 4.3 follows it',
      lines: ['2- exit 1', '2+ file', '2+ exit 0', '4- -', '4+ l'],
    },
  ],
  'changes: diff': [
    {
      reason:
        'podman tells of /etc, where it has made a file of its own, and not of the directory /data, in which a file was changed; docker does the contrary',
      lines: [
        '2+ C /data',
        '2- C /etc',
        '3- {"changed":["/data/of-image","/etc","/srv"],"added":["/made","/made/l","/srv/new"],"deleted":["/srv/file"]}<no newline>',
        '3+ {"changed":["/data","/data/of-image","/srv"],"added":["/made","/made/l","/srv/new"],"deleted":["/srv/file"]}<no newline>',
      ],
    },
  ],
  'changes: diff of a container that changed nothing': [
    {
      reason: 'podman has made a file of its own in /etc; docker and lamina have the init layer for that',
      lines: ['2- C /etc'],
    },
  ],
  'changes: commit with --change': [
    {
      reason: 'docker prints what was committed with its digest, podman without',
      lines: ['2- 65', '2+ 72', '5- TERM=xterm', '5- container=podman', '7- exit 125', '7+ exit 1'],
    },
  ],
  'changes: commit keeps what the container was given': [
    {
      reason: 'podman writes into the image what it adds to the environment itself',
      lines: ['4- TERM=xterm', '4- container=podman'],
    },
  ],
  'images: images, the table': [
    {
      reason:
        'sizes are docker’s, of what is unpacked; podman counts archives, headers and padding included. An image that was loaded has no digest of a manifest, as in docker',
      lines: [
        '1- localhost/base latest <short id> <ago> 9.58 MB',
        '1+ localhost/base latest <short id> <ago> 9.52MB',
        '2- localhost/base latest <short id> <ago> 9.58 MB',
        '2+ localhost/base latest <short id> <ago> 9.52MB',
        '3- localhost/base latest <digest> <short id> <ago> 9.58 MB',
        '3+ localhost/base latest <none> <short id> <ago> 9.52MB',
      ],
    },
  ],
  'images: history': [
    {
      reason: 'sizes are docker’s, of what is unpacked; podman counts archives, headers and padding included',
      lines: ['3- 7.68 kB', '3- 3.55 MB', '3- 6.02 MB', '3+ 49B', '3+ 3.54MB', '3+ 5.98MB'],
    },
  ],
  'images: history, the table': [
    {
      reason: 'title and sizes are docker’s; podman counts archives, headers and padding included',
      lines: [
        '1- ID CREATED CREATED BY SIZE COMMENT',
        '1- <short id> <ago> files to work on 7.68 kB',
        '1- <missing> <ago> more programs 3.55 MB',
        '1- <missing> <ago> the shell, coreutils and their libraries 6.02 MB',
        '1+ IMAGE CREATED CREATED BY SIZE COMMENT',
        '1+ <short id> <ago> files to work on 49B',
        '1+ <missing> <ago> more programs 3.54MB',
        '1+ <missing> <ago> the shell, coreutils and their libraries 5.98MB',
      ],
    },
  ],
  'images: tag and rmi': [{ reason: FAILED, lines: ['5- exit 125', '5+ exit 1'] }],
  'images: rmi of an image that a container is of': [
    { reason: 'docker has 1 for an image in use, podman 2', lines: ['2- exit 2', '2+ exit 1'] },
  ],
  'images: image inspect': [
    {
      reason: 'docker’s Id begins with sha256:',
      lines: [
        '1- <id> amd64 linux [/bin/sh] [PATH=/bin FROM_IMAGE=yes] 3 layers',
        '1+ <digest> amd64 linux [/bin/sh] [PATH=/bin FROM_IMAGE=yes] 3 layers',
      ],
    },
  ],
  'images: save and load': [
    {
      reason: 'docker’s load -q prints the id alone, podman the line all the same',
      lines: [
        '2- Loaded image: localhost/base:latest',
        '2+ <digest>',
        '3- Loaded image: localhost/base:latest',
        '3+ <digest>',
      ],
    },
    {
      reason: 'podman lists what it has tried',
      lines: [
        '4- stderr:  * oci: initializing source oci:n:: open n/index.json: not a directory',
        '4- stderr:  * oci-archive: creating temp directory: untarring file "/var/tmp/oci<number>": unexpected EOF',
        '4- stderr:  * docker-archive: loading tar component manifest.json: unexpected EOF',
        '4- stderr:  * dir: open n/manifest.json: not a directory',
      ],
    },
    { reason: FAILED, lines: ['4- exit 125', '4+ exit 1'] },
  ],
  'images: an image without its host name, and by its id': [
    {
      reason: 'a name without a host is one of docker.io, as in docker; podman looks for it under localhost first',
      lines: ['1- short', '1- exit 0', '1+ stderr: <message>', '1+ exit 125'],
    },
  ],
};
