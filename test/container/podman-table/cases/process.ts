import { about } from '../case.ts';
import { BASE as B } from '../images.ts';

export const processes = about('process', [
  {
    name: 'entrypoint and command of the image, and in their place',
    steps: [
      'it run --rm localhost/entry',
      'it run --rm localhost/entry mine too',
      "it run --rm --entrypoint /bin/printf localhost/entry '%s|' a b",
      'it run --rm --entrypoint pwd localhost/entry',
      `it run --rm --entrypoint '["/bin/echo","as","json"]' localhost/entry x`,
      `it run --rm --entrypoint '' localhost/entry echo plain`,
    ],
  },
  {
    name: 'environment: -e with a value, empty, passed on, not set',
    steps: [
      `PASSED=on it run --rm -e A=1 -e EMPTY= -e PASSED -e NOT_SET -e 'S=a b=c' ${B} sh -c 'env | sort | grep -v "^_\\|HOSTNAME\\|^TERM\\|^container"'`,
    ],
  },
  {
    name: 'environment: that of the image, and one that takes its place',
    steps: [
      `it run --rm -e FROM_IMAGE=no ${B} env | grep -v 'HOSTNAME\\|^TERM\\|^container' | sort`,
      `it run --rm -u guest ${B} env | grep -v 'HOSTNAME\\|^TERM\\|^container' | sort`,
    ],
  },
  {
    name: 'environment: --env-file with comments, quotes, names alone',
    steps: [
      `printf '# a comment\\nA=1\\n\\nQ="quoted"\\nPASSED\\nGONE\\n  S=spaced\\nE=a=b # no comment\\nEMPTY=\\n' >file`,
      `PASSED=on it run --rm --env-file file -e A=2 ${B} env | grep -v 'HOSTNAME\\|^PATH\\|^TERM\\|^container' | sort`,
      `it run --rm --env-file none ${B} env`,
    ],
  },
  {
    name: 'environment: a host name',
    steps: [`it run --rm -h box ${B} sh -c 'echo $HOSTNAME; cat /etc/hostname /proc/sys/kernel/hostname'`],
  },
  {
    name: 'environment: TERM and HOME with a terminal',
    steps: [`script -qec "it run --rm -t ${B} sh -c 'echo \\$TERM \\$HOME'" /dev/null | tr -d '\\r'`],
  },
  {
    name: 'working directory',
    steps: [`it run --rm -w /srv/tree ${B} pwd`, `it run --rm -w relative ${B} pwd`, 'it run --rm localhost/asks pwd'],
  },
  {
    name: 'user: by name, by number, with a group',
    steps: [
      `it run --rm -u guest ${B} id`,
      `it run --rm -u 1000 ${B} id`,
      `it run --rm -u 1000:0 ${B} id`,
      `it run --rm -u guest:staff ${B} id`,
      `it run --rm -u :50 ${B} id`,
      'it run --rm localhost/asks id',
    ],
  },
  {
    name: 'user: a number that /etc/passwd does not know gets a line there',
    steps: [
      `it run --rm -u 1234 ${B} sh -c 'id; tail -n 1 /etc/passwd; cd; pwd; echo $HOME'`,
      `it run --rm -u 1234:50 -w /srv ${B} sh -c 'id; tail -n 1 /etc/passwd'`,
    ],
  },
  { name: 'user: unknown', steps: [`it run --rm -u nobody-here ${B} id`, `it run --rm -u 0:nobody-here ${B} id`] },
  { name: 'user: out of range', steps: [`it run --rm -u 4294967296 ${B} id`, `it run --rm -u -1 ${B} id`] },
  {
    name: '--group-add, by name and number',
    steps: [
      `it run --rm --group-add staff --group-add 777 ${B} id`,
      `it run --rm -u guest --group-add 777 ${B} id`,
      `it run --rm --group-add unknown ${B} id`,
    ],
  },
  {
    name: '--umask',
    steps: [
      `it run --rm --umask 077 ${B} sh -c 'umask'`,
      `it run --rm ${B} sh -c 'umask'`,
      `it run --rm --umask 9 ${B} true`,
    ],
  },
  {
    name: 'standard input, without and with -i',
    steps: [
      `echo input | it run --rm ${B} cat`,
      `echo input | it run --rm -i ${B} cat`,
      `echo input | it run --rm -a stdin -a stdout -i ${B} cat`,
    ],
  },
  {
    name: 'terminal: tty, size, /dev/console',
    steps: [
      // With standard input at its end, script(1) would end the terminal, too.
      `sleep 3 | script -qec "stty rows 33 cols 111; it run --rm -it ${B} sh -c 'tty; stty size; ls -l /dev/console | cut -c1-10; test -t 1 && echo yes'" /dev/null | tr -d '\\r'`,
    ],
  },
  {
    name: 'terminal: none without -t',
    steps: [`it run --rm ${B} sh -c 'tty; test -t 1 || echo no'`, `it run --rm -it ${B} tty </dev/null | tr -d '\\r'`],
  },
  {
    name: '--init reaps: process 1 is not the command',
    steps: [`it run --rm --init ${B} sh -c 'test $$ = 1 || echo not 1'`, `it run --rm ${B} sh -c 'echo $$'`],
  },
  {
    name: 'open files are 0, 1 and 2',
    steps: [`it run --rm ${B} sh -c 'for n in /proc/self/fd/*; do echo $n; done' | sed 's/[^/]*$/&/' | sort -u`],
  },
  {
    name: 'signals are neither blocked nor ignored',
    steps: [`it run --rm ${B} grep -E '^Sig(Blk|Ign|Cgt)' /proc/self/status`],
  },
  {
    name: 'options behind the image are the command’s',
    steps: [`it run --rm ${B} echo --rm -it`, `it run --rm ${B} sh -c 'echo "$@"' -- -e x`],
  },
]);
