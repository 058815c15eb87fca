import { about } from '../case.ts';
import { BASE as B } from '../images.ts';

const CONTAINER_COMMANDS = [
  'logs',
  'stop',
  'kill',
  'start',
  'restart',
  'wait',
  'port',
  'inspect',
  'diff',
  'export',
  'rm',
  'pause',
  'unpause',
  'top',
  'attach',
  'container exists',
];

export const failures = about('failure', [
  {
    name: 'a container that is not there',
    steps: [
      ...CONTAINER_COMMANDS.map((command) => `it ${command} none`),
      'it exec none true',
      'it rename none x',
      'it commit none localhost/x',
      'it cp none:/x .',
      `it run --rm --volumes-from none ${B} true`,
    ],
  },
  {
    name: 'an image that is not there',
    steps: [
      'rmi',
      'rmi -f',
      'history',
      'image inspect',
      'images',
      'image exists',
      'run --pull never',
      'create --pull never',
    ]
      .map((command) => `it ${command} localhost/none`)
      .concat('it tag localhost/none x', 'it save -o t.tar localhost/none'),
  },
  {
    name: 'a file that is not there',
    steps: [
      'it load -i none',
      'it import none.tar',
      `it create --name c ${B} >/dev/null`,
      'it cp none c:/',
      'it cp c:/srv/none .',
      'it cp c:/srv/file none/x',
      'it cp c:/srv/file - >/dev/null; it cp none - 2>&1 | wc -l',
    ],
  },
  {
    name: 'a volume that is not there, and one that is',
    steps: ['it volume rm none', 'it volume inspect none', 'it volume create vol', 'it volume create vol'],
  },
  {
    name: 'a flag that is not there',
    steps: ['ps', 'logs', 'rm', 'start', 'stop', 'images', 'rmi', 'cp', 'inspect', 'volume ls', 'commit'].map(
      (command) => `it ${command} --bogus`,
    ),
  },
  {
    name: 'a flag without a value, and with a wrong one',
    steps: [
      'it ps -f',
      'it ps -f bogus=1',
      'it images -f bogus=1',
      `it ps --format '{{.Bogus}}'`,
      `it ps --format '{{'`,
      'it logs --tail x none',
      'it ps -n x',
    ],
  },
  {
    name: 'arguments that are missing',
    steps: [
      'wait',
      'rm',
      'stop',
      'start',
      'kill',
      'logs',
      'exec',
      'cp',
      'commit',
      'inspect',
      'rmi',
      'tag',
      'history',
      'rename x',
    ].map((command) => `it ${command}`),
  },
  {
    name: 'a command that is not there',
    steps: ['it bogus', 'it image bogus', 'it container bogus', 'it volume bogus'],
  },
  {
    name: 'a container that has ended',
    steps: [
      `it run --name c ${B} true`,
      'it kill c',
      'it pause c',
      'it unpause c',
      'it top c',
      'it attach c',
      'it exec c true',
      'it stop c',
      'it wait c',
      'it kill -s BOGUS c',
    ],
  },
  {
    name: 'a container that runs',
    steps: [
      `it run -d --name c ${B} sleep 100 >/dev/null`,
      'it rm c',
      'it start c',
      'it unpause c',
      'it kill -s BOGUS c',
      'it kill -s 0 c',
      `it run --name c ${B} true`,
      `it create --name c ${B} true`,
      `it create --name d ${B} true >/dev/null; it rename d c`,
      'it exec c',
      'it exec --bogus c true',
      'it exec -w /none c true',
      'it exec -u nobody-here c true',
    ],
  },
]);
