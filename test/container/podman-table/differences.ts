import { type Difference, exits } from './case.ts';
import { OF_LIFE } from './differences-of-life.ts';

const FAILED = 'a command that fails ends with 1, as docker has it; podman has 125 for most failures';

/** By the names of cases. */
export const DIFFERENCES: Readonly<Record<string, readonly Difference[]>> = {
  ...OF_LIFE,
  'exit code: of a file of no known format': [
    {
      reason:
        '126 is the code of a command that cannot be executed; with runc podman has 1, since runc tells that the container has started before it executes the command',
      lines: ['1- stderr: exec /bin/garbage: exec format error', '1- exit 1', '1+ stderr: <message>', '1+ exit 126'],
    },
  ],
  'failure: a container that is not there': [
    {
      reason: FAILED,
      lines: exits(125, 1, [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 13, 14, 17, 18, 19, 20]),
    },
  ],
  'failure: an image that is not there': [
    { reason: 'docker’s rmi -f tells what is not there, and does not fail', lines: ['2+ stderr: <message>'] },
    { reason: FAILED, lines: ['3- exit 125', '3+ exit 1', '4- exit 125', '4+ exit 1'] },
    {
      reason: 'docker has three spaces between columns',
      lines: [
        '5- REPOSITORY  TAG         IMAGE ID    CREATED     SIZE',
        '5+ REPOSITORY   TAG   IMAGE ID   CREATED   SIZE',
      ],
    },
    { reason: FAILED, lines: exits(125, 1, [8, 9, 10]) },
  ],
  'failure: a file that is not there': [
    {
      reason: FAILED,
      lines: exits(125, 1, [1, 2, 4, 5, 6]),
    },
  ],
  'failure: a volume that is not there, and one that is': [
    { reason: FAILED, lines: ['2- exit 125', '2+ exit 1'] },
    {
      reason: 'docker’s volume create is content with a volume that is there',
      lines: ['4- stderr: <message>', '4- exit 125', '4+ vol', '4+ exit 0'],
    },
  ],
  'failure: a flag without a value, and with a wrong one': [
    {
      reason: FAILED,
      lines: exits(125, 1, [2, 3, 5, 6, 7]),
    },
  ],
  'failure: arguments that are missing': [
    {
      reason: 'docker’s code for missing arguments is 1; run and exec have 125',
      lines: exits(125, 1, [1, 2, 3, 4, 5, 6, 8, 9, 10, 11, 12, 13, 14]),
    },
  ],
  'failure: a command that is not there': [
    {
      reason: FAILED,
      lines: exits(125, 1, [1, 2, 3, 4]),
    },
  ],
  'failure: a container that has ended': [
    {
      reason: FAILED,
      lines: exits(125, 1, [2, 3, 4, 5]),
    },
    { reason: 'docker’s exec has 1 where the container does not run, podman 255', lines: ['7- exit 255'] },
    { reason: FAILED, lines: ['7+ exit 1', '10- exit 125', '10+ exit 1'] },
  ],
  'failure: a container that runs': [
    { reason: 'docker has 1 for a container that runs, podman 2', lines: ['2- exit 2', '2+ exit 1'] },
    { reason: 'docker’s start prints the name of a container that runs already, podman nothing', lines: ['3+ c'] },
    {
      reason: FAILED,
      lines: exits(125, 1, [4, 5, 6, 8, 9]),
    },
    {
      reason: 'exec without a command is 125, as other wrong command lines of run and exec; podman has 255',
      lines: ['10- exit 255', '10+ exit 125'],
    },
    {
      reason: 'exec refuses directories and users with run’s code, 126; podman has another one for each',
      lines: ['12- exit 127', '12+ exit 126', '13- exit 255', '13+ exit 126'],
    },
  ],
  'process: environment: --env-file with comments, quotes, names alone': [
    {
      reason:
        'Node itself looks for --env-file on its command line and ends with 9 where the file is not there (Node’s issue 54232)',
      lines: ['3- stderr: <message>', '3- exit 125', '3+ stderr: /usr/bin/node: none: not found', '3+ exit 9'],
    },
  ],
  'process: environment: a host name': [
    { reason: 'docker ends the line of /etc/hostname, podman does not', lines: ['1- boxbox', '1+ box', '1+ box'] },
  ],
  'process: working directory': [
    {
      reason:
        'docker refuses a working directory that is not absolute before anything is started: 125; podman leaves it to its runtime: 126',
      lines: ['2- exit 126', '2+ exit 125'],
    },
  ],
  'process: terminal: none without -t': [
    {
      reason: 'docker and lamina refuse -it where standard input is no terminal; podman goes on',
      lines: ['2- /dev/pts/0', '2+ stderr: <message>'],
    },
  ],
  'files: --no-hosts': [
    {
      reason: 'the init layer has an empty /etc/hosts, as docker’s has; podman adds nothing',
      lines: ['1- stderr: cat: /etc/hosts: No such file or directory', '1- exit 1', '1+ exit 0'],
    },
  ],
  'files: /etc/resolv.conf of --dns': [
    {
      reason: 'what cannot be done with the network is refused before the start: 125; podman’s runtime has 126',
      on: 'user',
      lines: ['1- exit 126', '1+ exit 125'],
    },
  ],
  'files: --hostname is in all places': [
    {
      reason: 'docker ends the line of /etc/hostname, podman does not',
      lines: ['1- a.example.orga.example.org', '1+ a.example.org', '1+ a.example.org'],
    },
  ],
  'files: --tmpfs and its options': [
    {
      reason: 'noexec is docker’s default of --tmpfs, and what podman documents',
      lines: [
        '1- tmpfs /mem tmpfs rw,nosuid,nodev,relatime 0 0',
        '1+ tmpfs /mem tmpfs rw,nosuid,nodev,noexec,relatime 0 0',
      ],
    },
  ],
  'files: --tmpfs over a directory of the image': [
    {
      reason: 'docker shows the empty filesystem; podman copies what the image has there (tmpcopyup)',
      lines: ['1- of-image', '2- of-image'],
    },
  ],
  'files: -v, malformed': [
    {
      reason:
        'a volume in place of the root is refused before the start, as docker does; podman starts and finds no command',
      lines: ['4- exit 127', '4+ exit 125'],
    },
  ],
  'files: volume create, inspect, ls, rm, prune': [
    {
      reason: 'docker’s volume create is content with a volume that is there',
      lines: ['2- stderr: <message>', '2- exit 125', '2+ vol', '2+ exit 0'],
    },
    { reason: 'docker prints titles of an empty table', lines: ['8+ DRIVER   VOLUME NAME'] },
  ],
  'files: volume in use': [
    { reason: 'docker has 1 for a volume in use, podman 2', lines: ['2- exit 2', '2+ exit 1'] },
    { reason: 'docker tells what was reclaimed', lines: ['3+ Total reclaimed space: 0B'] },
  ],
};
