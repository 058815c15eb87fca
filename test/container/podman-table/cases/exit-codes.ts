import { about } from '../case.ts';
import { BASE as B } from '../images.ts';

export const exitCodes = about('exit code', [
  {
    name: 'of the command itself, from 0 to 255',
    steps: [
      `it run --rm ${B} true`,
      `it run --rm ${B} sh -c 'exit 1'`,
      `it run --rm ${B} sh -c 'echo out; echo err >&2; exit 42'`,
      `it run --rm ${B} sh -c 'exit 125'`,
      `it run --rm ${B} sh -c 'exit 255'`,
    ],
  },
  { name: '127, not found in PATH', steps: [`it run --rm ${B} missing`] },
  { name: '127, a path that is not there', steps: [`it run --rm ${B} /bin/missing`] },
  { name: '126, not executable', steps: [`it run --rm ${B} /bin/plain`] },
  { name: '126, a directory', steps: [`it run --rm ${B} /srv`] },
  { name: 'of a file of no known format', steps: [`it run --rm ${B} /bin/garbage`] },
  {
    name: '125, bad flags',
    steps: [
      `it run --bogus ${B} true`,
      `it run --rm --name 'no/name' ${B} true`,
      `it run --rm --memory lots ${B} true`,
      `it run --rm -e ${B}`,
      'it run',
      `it create --bogus ${B} true`,
    ],
  },
  { name: '125, an image that is not there', steps: ['it run --rm --pull never localhost/none true'] },
  {
    name: '128+n, killed inside by a signal that its shell gets',
    steps: [
      `it run --rm ${B} sh -c 'sh -c "kill -9 \\$\\$"; echo $?'`,
      `it run --rm ${B} sh -c 'sh -c "kill -6 \\$\\$"; exit $?'`,
    ],
  },
  {
    name: 'of process 1 that kills itself: signals without a handler are ignored',
    steps: [`it run --rm ${B} sh -c 'kill -9 $$; kill -15 $$; exit 3'`],
  },
  {
    name: '128+n, killed from outside',
    steps: [
      `it run -d --name c ${B} sleep 100 >/dev/null && it kill c && it wait c`,
      "it inspect -f '{{.State.Status}} {{.State.ExitCode}} {{.State.Running}} {{.State.OOMKilled}}' c",
      `it run -d --name d ${B} sh -c 'trap "exit 7" TERM; echo ready; while :; do sleep 0.1; done' >/dev/null`,
      'until it logs d | grep -q ready; do :; done; it kill -s TERM d && it wait d',
    ],
  },
  {
    name: 'of a client that gets a signal: it is passed on',
    steps: [
      `it run --rm --name c ${B} sh -c 'trap "echo got; exit 9" TERM; echo ready; while :; do sleep 0.1; done' >log & ` +
        'client=$!; until grep -q ready log 2>/dev/null; do sleep 0.1; done; kill -TERM $client; wait $client',
      'cat log',
    ],
  },
  { name: 'of a working directory that is not there', steps: [`it run --rm -w /missing ${B} pwd`] },
  { name: 'of a working directory that is a file', steps: [`it run --rm -w /srv/file ${B} pwd`] },
  { name: 'of a container that --init is process 1 of', steps: [`it run --rm --init ${B} sh -c 'exit 5'`] },
]);
