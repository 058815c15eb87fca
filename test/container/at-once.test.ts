import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { firstMissing, has, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';
import { Lamina, type Outcome, ended, recipe } from './lamina.ts';
import { type Inventory, Machine } from './machine.ts';

const missing = firstMissing(isRoot(), hasFuseDevice(), ...['unshare', 'nsenter'].map(has));

/** How often each pair of commands meets: `LAMINA_RUNS`. Without it, some of them do once. */
const RUNS = Number(process.env['LAMINA_RUNS'] ?? 0);

/** What a command may say that has come too late, or too early. */
const REFUSALS = [
  /no container "\w+"; "lamina ps -a" lists all$/,
  /container \w+ has been removed$/,
  /container \w+ (?:is running|is being started): end it first, or give --force, which kills it$/,
  /container (?:\w+ )?is not running(?: any more)?$/,
  /container \w+: it is not running$/,
  /container \w+ has been stopped$/,
  /container \w+: (?:container \w+ has been stopped|given up before the command ran)$/,
  /the container's supervisor has ended early$/,
  /container \w+ has just ended: try again$/,
  /its processes do not come to rest$/,
  /its filesystem is not mounted here; end the container, and export it then$/,
  /another mount is using it; unmount that one first \(lamina mounts\)$/,
];

interface Meeting {
  readonly isRunning: boolean;
  readonly commands: readonly (readonly string[])[];
  /** What the exit codes may be beside 0 and, with a refusal, 1 and 125. */
  readonly codes?: readonly number[];
}

const EXEC = ['exec', 'one', 'sh', '-c', 'echo x > /x; sleep 0.1'];

const MEETINGS: readonly Meeting[] = [
  {
    isRunning: false,
    commands: [
      ['start', 'one'],
      ['rm', 'one'],
    ],
  },
  {
    isRunning: true,
    commands: [
      ['stop', 'one'],
      ['stop', 'one'],
    ],
  },
  {
    isRunning: true,
    commands: [
      ['rename', 'one', 'two'],
      ['rm', '-f', 'one'],
    ],
  },
  {
    isRunning: true,
    commands: [
      ['rm', '-f', 'one'],
      ['rm', '-f', 'one'],
      ['rm', '-f', 'one'],
    ],
  },
  {
    isRunning: true,
    commands: [
      ['commit', 'one', 'made'],
      ['stop', 'one'],
    ],
  },
  { isRunning: true, commands: [EXEC, ['stop', 'one']], codes: [137] },
  { isRunning: true, commands: [EXEC, ['rm', '-f', 'one']], codes: [137] },
  {
    isRunning: true,
    commands: [
      ['restart', 'one'],
      ['stop', 'one'],
    ],
  },
  {
    isRunning: true,
    commands: [
      ['restart', 'one'],
      ['rm', '-f', 'one'],
    ],
  },
  {
    isRunning: true,
    commands: [
      ['restart', 'one'],
      ['restart', 'one'],
    ],
  },
  {
    isRunning: false,
    commands: [
      ['start', 'one'],
      ['start', 'one'],
      ['stop', 'one'],
    ],
  },
  {
    isRunning: false,
    commands: [
      ['start', 'one'],
      ['rename', 'one', 'two'],
    ],
  },
  {
    isRunning: true,
    commands: [
      ['kill', 'one'],
      ['rm', '-f', 'one'],
    ],
  },
  {
    isRunning: true,
    commands: [
      ['pause', 'one'],
      ['stop', 'one'],
    ],
  },
  {
    isRunning: true,
    commands: [
      ['export', '-o', '/dev/null', 'one'],
      ['rm', '-f', 'one'],
    ],
  },
  {
    isRunning: false,
    commands: [
      ['export', '-o', '/dev/null', 'one'],
      ['start', 'one'],
    ],
  },
  {
    isRunning: true,
    commands: [
      ['cp', 'one:/bin/true', '/dev/shm/copy'],
      ['stop', 'one'],
    ],
  },
  {
    isRunning: false,
    commands: [
      ['rm', 'one'],
      ['rm', 'one'],
    ],
  },
];

const CHOSEN = RUNS > 0 ? MEETINGS : [0, 1, 2].flatMap((at) => MEETINGS[at] ?? []);

describe.skipIf(missing)(titled('Two commands at once on one container', missing), () => {
  let machine: Machine;
  let lamina: Lamina;
  let before: Inventory;

  beforeAll(async () => {
    machine = await Machine.start();
    lamina = new Lamina(undefined, '/var/tmp', machine.within);
    await lamina.load(recipe('tiny'));
    for (const args of [
      ['run', '--name', 'first', 'tiny', 'true'],
      ['commit', 'first', 'made'],
      ['rm', 'first'],
    ]) {
      expect(await call(args)).toMatchObject({ code: 0 });
    }
    await call(['rmi', 'made']);
    await call(['system', 'prune', '-f']);
    before = machine.inventory(lamina.root);
  });

  afterAll(async () => {
    await lamina.close();
    machine.close();
  });

  // What a failure leaves is not the next one's.
  afterEach(() => call(['rm', '-f', '-i', 'one', 'two']));

  const call = (args: readonly string[]): Promise<Outcome> =>
    ended(lamina.start(args, { env: { ...machine.client().env, TMPDIR: machine.temporary } }));

  function expectOrder({ commands, codes = [] }: Meeting, outcomes: readonly Outcome[]): void {
    for (const [at, { code, stderr }] of outcomes.entries()) {
      const told = { command: commands[at]?.join(' '), code, stderr };
      if (code === 0 || codes.includes(code)) expect(told).toEqual({ ...told, stderr: '' });
      else {
        const lines = stderr.trim().split('\n');
        expect({ ...told, known: lines.map((line) => REFUSALS.some((refusal) => refusal.test(line))) }).toEqual({
          ...told,
          code: code === 1 ? 1 : 125,
          known: [true],
        });
      }
    }
    // One of them is the first.
    expect(outcomes.map(({ code }) => code)).toContain(0);
  }

  test.each(
    CHOSEN.map(
      (meeting) => [meeting.commands.map((words) => words.slice(0, 2).join(' ')).join(', '), meeting] as const,
    ),
  )('is as if one had come after the other: %s', { timeout: 60_000 + RUNS * 180_000 }, async (_, meeting) => {
    for (let run = 0; run < (RUNS || 1); run += 1) {
      const verb = meeting.isRunning ? ['run', '-d'] : ['create'];
      const made = await call([...verb, '--stop-timeout', '0', '--name', 'one', 'tiny', 'sleep', '1000']);
      expect(made).toMatchObject({ code: 0, stderr: '' });
      const outcomes = await Promise.all(meeting.commands.map(call));
      expectOrder(meeting, outcomes);
      await call(['rm', '-f', '-i', 'one', 'two']);
      if (meeting.commands[0]?.[0] === 'commit') {
        await call(['rmi', 'made']);
        await call(['system', 'prune', '-f']);
      }
      await machine.expectNothingLeft(before, lamina.root, [made.stdout.trim()], `run ${run}`);
    }
  });
});
