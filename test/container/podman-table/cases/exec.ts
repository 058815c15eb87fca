import { about } from '../case.ts';
import { BASE as B } from '../images.ts';
const RUN = `it run -d --name c -e A=1 -w /srv ${B} sleep 100 >/dev/null`;

export const exec = about('exec', [
  {
    name: 'user, directory, variables, standard input',
    steps: [
      RUN,
      'it exec c pwd',
      'it exec -u guest c id',
      'it exec -u 1234 c id',
      'it exec -w /data c pwd',
      "it exec -e B=2 c sh -c 'echo $A $B'",
      'echo in | it exec c cat',
      'echo in | it exec -i c cat',
      "it exec c sh -c 'echo out; echo err >&2; exit 3'",
    ],
  },
  {
    name: 'exit codes',
    steps: [
      RUN,
      'it exec c missing',
      'it exec c /bin/plain',
      'it exec c /srv',
      "it exec c sh -c 'kill -9 $$'",
      'it exec -w /none c pwd',
      'it exec -u nobody-here c true',
      'it exec none true',
      'it exec c',
      'it exec --bogus c true',
    ],
  },
  {
    name: 'in a container that has ended, or was not started',
    steps: [`it run --name c ${B} true`, 'it exec c true', `it create --name d ${B} true >/dev/null`, 'it exec d true'],
  },
  {
    name: 'capabilities are those of the container',
    steps: [
      RUN,
      'it exec c grep -E "^(Cap|NoNew|Seccomp:)" /proc/self/status',
      'it exec -u guest c grep -E "^Cap" /proc/self/status',
      'it exec --privileged c grep -E "^CapEff" /proc/self/status',
    ],
  },
  {
    name: '-d',
    steps: [
      RUN,
      "it exec -d c sh -c 'echo done >/srv/mark' | wc -l",
      'until it exec c cat /srv/mark; do :; done 2>/dev/null',
    ],
  },
  {
    name: '-t',
    steps: [RUN, `script -qec "stty rows 21 cols 91; it exec -it c sh -c 'tty; stty size'" /dev/null | tr -d '\\r'`],
  },
  {
    name: '--env-file',
    steps: [RUN, 'printf \'X=1\\n#c\\nY="2"\\n\' >f', "it exec --env-file f c sh -c 'echo $X $Y'"],
  },
]);

export const copying = about('cp', [
  {
    name: 'a file, both ways',
    steps: [
      `it create --name c ${B} true >/dev/null`,
      'it cp c:/srv/file .',
      'cat file',
      'echo mine >f; it cp f c:/srv/',
      'it cp f c:/srv/file',
      'it cp f c:/srv/renamed',
      'it cp c:/srv/file - | tar -xO',
      'it cp c:/srv/renamed out && cat out',
      'it cp f g',
    ],
  },
  {
    name: 'a directory, with and without /.',
    steps: [
      `it create --name c ${B} true >/dev/null`,
      'it cp c:/srv/tree . && find tree',
      'it cp c:/srv/tree there && find there',
      'it cp c:/srv/tree there && find there | sort',
      'it cp c:/srv/tree/. there && find there | sort',
      'it cp c:/srv/tree/. fresh && find fresh',
      'mkdir -p d/e; echo x >d/e/f; it cp d c:/srv && it cp d/. c:/data && it cp d c:/new',
      'it cp c:/srv/d - | tar -t | sort',
      'it cp c:/data - | tar -t | sort',
      'it cp c:/new - | tar -t | sort',
      'it cp d c:/srv/file',
      'touch plain; it cp c:/srv/tree plain',
    ],
  },
  {
    name: 'a tar archive, both ways',
    steps: [
      `it create --name c ${B} true >/dev/null`,
      'mkdir d; echo x >d/f; tar -c d | it cp - c:/srv',
      'it cp c:/srv/d - | tar -tv | cut -d" " -f1,6- | sed "s/.* //" | sort',
      'echo no tar | it cp - c:/srv',
      'tar -c d | it cp - c:/none',
      'tar -c d | it cp - c:/srv/file',
    ],
  },
  {
    name: 'a symlink, and what it leads to',
    steps: [
      `it create --name c ${B} true >/dev/null`,
      'it cp c:/srv/link . && readlink link',
      'ln -s /etc/hostname l; it cp l c:/srv/copied',
      'it cp c:/srv/copied - | tar -tv | cut -c1',
    ],
  },
  {
    name: 'into a container that runs, and its owners',
    steps: [
      `it run -d --name c ${B} sleep 100 >/dev/null`,
      'echo x >f; it cp f c:/srv/f',
      "it exec c stat -c '%u:%g %a' /srv/f",
      'it exec c cat /srv/f',
      'it exec c chown 1000:50 /srv/f; it cp c:/srv/f back; test -O back && echo mine',
    ],
  },
]);
