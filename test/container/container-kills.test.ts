import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ContainerState } from '../../runner/container/container.ts';
import { firstMissing, has, hasFuseDevice, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';
import { randomNumbers } from '../image/kills.ts';
import { type Role, type Trial, killAt } from './kill-trials.ts';
import { Lamina, type Outcome, ended, makeUser, recipe, removeUser } from './lamina.ts';
import { type Inventory, Machine } from './machine.ts';
import { missingNetworks } from './private-host.ts';

const missing = firstMissing(isRoot(), hasFuseDevice(), missingNetworks());
const withUsers = firstMissing(missing, hasUserNamespaces(), ...['useradd', 'setpriv', 'newuidmap'].map(has));

/** How many kills: `LAMINA_KILLS`, as root and, a third of it, as an ordinary user; from which seed: `LAMINA_SEED`. */
const KILLS = Number(process.env['LAMINA_KILLS'] ?? 0);
const SEED = Number(process.env['LAMINA_SEED'] ?? 1);

/** Every record is synced before it is told of; where there are some already, it goes on. */
const WRITER = `mkdir -p /data; touch /data/log; i=$(wc -l < /data/log)
  while i=$((i+1)); echo $i >> /data/log && echo $i > /data/f && sync /data/log /data/f && echo $i >> /ack/log; do mv /data/f /data/f$((i%8)); sleep 0.05; done; sleep 9`;

const LONG = { timeout: 30_000, interval: 20 };
const LONGEST_MOMENT: Readonly<Record<Role, number>> = {
  ...{ supervisor: 900, client: 900, stage: 80, init: 900, helper: 500, server: 600 },
};

/** What is done, and which process is killed meanwhile. */
interface Attempt {
  readonly trial: Trial;
  readonly role: Role;
}

describe.each([
  ['root', missing, KILLS || 3],
  ['an ordinary user', withUsers, Math.ceil(KILLS / 3) || 1],
])('Processes of %s', (kind, lacking, kills) => {
  describe.skipIf(lacking)(titled('killed at random moments', lacking), () => {
    let machine: Machine;
    let lamina: Lamina;
    let user: ReturnType<typeof makeUser> | undefined;
    let before: Inventory;
    let scratch: string;

    beforeAll(async () => {
      machine = await Machine.start();
      if (kind !== 'root') user = makeUser('lamina-kills', { start: 730_000_000, count: 65_536 });
      lamina = new Lamina(user, '/var/tmp', machine.within);
      scratch = mkdtempSync('/var/tmp/lamina-kills-');
      execFileSync('chmod', ['0777', scratch]);
      await lamina.load(recipe('tiny'));
      await ok('run', '--name', 'first', 'tiny', 'true');
      await ok('commit', 'first', 'made');
      await ok('rm', 'first');
      await ok('rmi', 'made');
      before = machine.inventory(lamina.root);
    });

    afterAll(async () => {
      await lamina.close();
      machine.close();
      rmSync(scratch, { recursive: true, force: true });
      if (user !== undefined) removeUser(user.name);
    });

    function start(args: readonly string[]) {
      const { env, pid } = machine.client();
      const child = lamina.start(args, { env: { ...env, TMPDIR: machine.temporary } });
      child.stdin?.on('error', () => undefined);
      child.stdin?.end();
      return { child, pid, outcome: ended(child) };
    }

    const call = (...args: readonly string[]): Promise<Outcome> => start(args).outcome;

    async function ok(...args: readonly string[]): Promise<string> {
      const { code, stdout, stderr } = await call(...args);
      expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: '' });
      return stdout;
    }

    const ids = (): string[] => {
      const names = readdirSync(join(lamina.root, 'containers'));
      return names.filter((name) => /^[0-9a-f]{64}$/.test(name));
    };
    const state = (): ContainerState | undefined => {
      try {
        return JSON.parse(
          readFileSync(join(lamina.root, 'containers', ids()[0] ?? '', 'state.json'), 'utf8'),
        ) as ContainerState;
      } catch {
        return undefined;
      }
    };
    const acknowledged = (): number => {
      const text = readFileSync(join(scratch, 'ack/log'), 'utf8');
      return text.split('\n').length - 1;
    };

    /** The process that is to be killed, where there is one now. */
    function find(role: Role, client: () => number | undefined): number | undefined {
      const like = (pattern: RegExp): number | undefined =>
        [...machine.processes()].find(([, line]) => pattern.test(line))?.[0];
      switch (role) {
        case 'client':
          return client();
        case 'supervisor':
          return state()?.supervisor?.pid ?? like(/supervisor\/main\.js/);
        case 'init':
          return state()?.status === 'running' ? state()?.init?.pid : undefined;
        case 'stage':
          return like(/\/stage\/main\.js/);
        case 'helper':
          return like(/^(\S*\/)?(pasta|slirp4netns)\S* /);
        case 'server':
          return like(/daemon-process\.js/);
      }
    }

    /**
     * Kills the process after a time, or as soon as it is there; answers whether it was killed. A stage is one for a part
     * of its start alone: for it the time counts from when it is there.
     */
    async function kill({ trial, role }: Attempt, action: ReturnType<typeof start>, moment: number): Promise<boolean> {
      const progress = { isOver: false };
      void action.outcome.then(() => (progress.isOver = true));
      const isPast = (): boolean => role === 'stage' && trial.runs !== true && state()?.status === 'running';
      let isToWait = role === 'stage';
      if (!isToWait) await sleep(moment);
      for (;;) {
        const pid = find(role, action.pid);
        if (pid !== undefined && isToWait) {
          isToWait = false;
          await sleep(moment);
          continue;
        }
        if (pid !== undefined && machine.has(pid)) {
          machine.kill(pid);
          await expect.poll(() => machine.has(pid), LONG).toBe(false);
          return true;
        }
        if (progress.isOver || isPast()) return false;
        await sleep(2);
      }
    }

    /** Prepares what a trial begins with, does it, and kills; answers what is to be told where all goes wrong. */
    async function attempt({ trial, role }: Attempt, moment: number): Promise<string> {
      rmSync(join(scratch, 'ack'), { recursive: true, force: true });
      mkdirSync(join(scratch, 'ack'));
      writeFileSync(join(scratch, 'ack/log'), '');
      execFileSync('chmod', ['-R', '0777', scratch]);
      const image = ['-v', `${join(scratch, 'ack')}:/ack`, 'tiny', 'sh', '-c', WRITER];
      if (trial.made !== undefined) {
        const [verb, ...flags] = trial.runs === true ? ['run', '-d'] : ['create'];
        await ok(verb, ...flags, ...trial.made, '--name', 'one', ...image);
        if (trial.runs === true) await expect.poll(acknowledged, LONG).toBeGreaterThan(2);
      }
      const args = trial.action.flatMap((word) => (word === 'IMAGE' ? image : word === 'NAME' ? 'one' : word));
      const action = start(args);
      const wasKilled = await kill({ trial, role }, action, moment);
      const where = `${trial.action.join(' ')}: ${wasKilled ? '' : 'no '}kill of ${role} after ${moment} ms`;
      await settle(action, where);
      return where;
    }

    /** Waits until the container is what it will be; a client that follows one that runs is ended. */
    async function settle({ outcome, pid }: ReturnType<typeof start>, where: string): Promise<void> {
      const follower = await Promise.race([outcome, sleep(1500)]);
      if (follower === undefined && state()?.status === 'running') machine.kill(pid() ?? 0);
      const { stderr } = await outcome;
      expect({ where, stderr }).toEqual({
        where,
        stderr: expect.not.stringMatching(/^\s+at |Error:.*\n\s+at /m) as string,
      });
    }

    /** What `ps` says, once that does not change any more. */
    async function status(where: string): Promise<string> {
      let told = '';
      await expect
        .poll(
          async () => {
            told = (await ok('ps', '-a', '--format', '{{.Names}} {{.State}} {{.Status}}')).trim();
            // One that is being started counts as created, and its supervisor has a moment to see that it ended.
            const isBeingStarted = told.includes(' created ') && machine.processes().size > 0;
            const isEnding = told.includes(' running ') && !machine.has(state()?.init?.pid ?? 0);
            return (
              !isBeingStarted && !isEnding && /^$|^(?:one|other) (?:created|running|exited|dead|paused) /.test(told)
            );
          },
          { ...LONG, interval: 200, message: where },
        )
        .toBe(true);
      return told;
    }

    /** Holds what `ps` says against what there is. */
    async function expectTruth(role: Role, where: string): Promise<string> {
      const told = await status(where);
      const [name = '', word = ''] = told.split(' ');
      const at = { where, told };
      if (word === 'running' || word === 'paused') {
        expect({ ...at, init: machine.has(state()?.init?.pid ?? 0) }).toEqual({ ...at, init: true });
        expect({ ...at, supervisor: machine.has(state()?.supervisor?.pid ?? 0) }).toEqual({ ...at, supervisor: true });
        if (word === 'running')
          expect({ ...at, ...(await call('exec', name, 'true')) }).toEqual({ ...at, code: 0, stdout: '', stderr: '' });
      } else {
        const left = (): string[] => [...machine.processes().values()];
        await expect.poll(left, { ...LONG, message: `${where}: ${told}` }).toEqual([]);
      }
      if (role === 'init' && word === 'exited')
        expect(at).toEqual({ where, told: expect.stringMatching(/Exited \((137|0|143)\)/) as string });
      return told;
    }

    /** The records in the container's filesystem: as they are on disk, or as one of the commands shows them. */
    async function records(id: string, name: string, at: number): Promise<string> {
      if (at % 3 > 0) return readFileSync(join(lamina.root, 'containers', id, 'upper/data/log'), 'utf8');
      const copy = join(scratch, 'copy');
      rmSync(copy, { recursive: true, force: true });
      if (at % 2 === 0) {
        await ok('cp', `${name}:/data/log`, copy);
        return readFileSync(copy, 'utf8');
      }
      await ok('export', '-o', copy, name);
      return execFileSync('tar', ['-xOf', copy, 'data/log'], { encoding: 'utf8' });
    }

    async function expectNothingLost(name: string, at: number, where: string): Promise<void> {
      const told = acknowledged();
      if (told === 0) return;
      const lines = (await records(ids()[0] ?? '', name, at)).split('\n').slice(0, told);
      const expected = Array.from({ length: told }, (_, index) => String(index + 1));
      expect({ where, lines }).toEqual({ where, lines: expected });
    }

    /** One kill, and what is to hold after it. */
    async function tryKill(at: number, random: () => number): Promise<void> {
      const { trial, role } = killAt(at + SEED - 1, kind === 'root');
      const moment = Math.round(random() * LONGEST_MOMENT[role]);
      const where = `${at}: ${await attempt({ trial, role }, moment)}`;
      if (KILLS > 0) process.stderr.write(`${where}\n`);
      const known = ids();
      const told = await expectTruth(role, where);
      const [name = '', word = ''] = told.split(' ');
      if (name !== '') await expectUsable(name, word, at, where);
      if (trial.action[0] === 'commit') await call('rmi', 'made');
      // What was given up before there was a container, or an image, is nobody's.
      if (name === '' || trial.action[0] === 'commit') await call('system', 'prune', '-f');
      if (at % 4 === 0)
        expect({ where, ...(await call('system', 'check', '--quick')) }).toMatchObject({ where, code: 0 });
      await machine.expectNothingLeft(before, lamina.root, known, where);
    }

    /** Has everything done with a container that can be done with one that is as `ps` says; at last it is removed. */
    async function expectUsable(name: string, word: string, at: number, where: string): Promise<void> {
      if (word !== 'paused') await expectNothingLost(name, at, where);
      const isLive = word === 'running' || word === 'paused';
      if (!isLive && at % 3 === 0) {
        expect({ where, ...(await call('start', name)) }).toEqual({ where, code: 0, stdout: `${name}\n`, stderr: '' });
        await expectTruth('client', where);
        await expectNothingLost(name, at + 1, where);
        await ok('stop', '-t', '0', name);
      }
      if (!isLive && at % 4 === 1) {
        const { code, stdout } = await call('fsck', '--container', name);
        expect({ where, code, stdout }).toMatchObject({ where, code: 0 });
      }
      expect({ where, ...(await call('rm', ...(isLive ? ['-f'] : []), name)) }).toEqual({
        where,
        code: 0,
        stdout: `${name}\n`,
        stderr: '',
      });
    }

    test('leave a truth, all that was synced, and nothing else', { timeout: 120_000 + kills * 60_000 }, async () => {
      const random = randomNumbers(SEED);
      const failures: unknown[] = [];
      for (let at = 0; at < kills; at += 1) {
        try {
          await tryKill(at, random);
        } catch (error) {
          failures.push(error);
          if (KILLS > 0) process.stderr.write(`FAILED ${at}: ${describeFailure(error)}\n`);
          await call('rm', '-af');
          await call('system', 'prune', '-f');
        }
      }
      expect(failures).toEqual([]);
    });
  });
});

function describeFailure(error: unknown): string {
  const { message, actual } = error as { readonly message?: string; readonly actual?: unknown };
  return `${message ?? ''} ${JSON.stringify(actual)}`;
}
