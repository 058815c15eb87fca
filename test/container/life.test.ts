import { existsSync, readFileSync, readdirSync, readlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ContainerState } from '../../runner/container/container.ts';
import { firstMissing, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';
import { Lamina, ended, recipe, wrote } from './lamina.ts';

const missing = firstMissing(isRoot(), hasFuseDevice());

// A loop of the shell's own, so that its traps run at once.
const WAIT = 'while :; do sleep 0.05; done';

// For what takes as long as a container's start.
const LONG = { timeout: 20_000 };

describe.skipIf(missing)(titled('containers with a supervisor of their own', missing), () => {
  let lamina: Lamina;

  beforeAll(async () => {
    lamina = new Lamina();
    await lamina.load(recipe('tiny', [], { Labels: { of: 'image' }, StopSignal: 'SIGUSR1' }));
  });

  afterAll(() => lamina.close());

  const out = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await lamina.call(args);
    if (code !== 0) throw new Error(`${args.join(' ')}: exit code ${code}: ${stderr}`);
    return stdout.trimEnd();
  };
  const status = (name: string): Promise<string> => out('inspect', '-f', '{{.State.Status}} {{.State.ExitCode}}', name);
  const mounts = (): string => readFileSync('/proc/self/mountinfo', 'utf8');
  const containers = (): string[] =>
    readdirSync(join(lamina.root, 'containers')).filter((name) => !name.startsWith('.'));

  test('run -d returns when the command runs, and rm -f leaves nothing of it', async () => {
    const cidfile = join(lamina.root, 'cid');
    const args = ['run', '-d', '--name', 'made', '--cidfile', cidfile, '-l', 'a=b', 'tiny', 'sh', '-c', WAIT];
    const id = await out(...args);
    expect(id).toMatch(/^[0-9a-f]{64}$/);
    expect(readFileSync(cidfile, 'utf8')).toBe(id);
    // Nothing is waited for here.
    expect(await status('made')).toBe('running 0');
    const format = '{{.Names}} {{.State}} {{.Status}} {{.Labels}}';
    expect(await out('ps', '--format', format)).toMatch(/^made running Up .* a=b,of=image$/);
    const again = await lamina.call(args);
    expect(again).toMatchObject({ code: 125, stderr: expect.stringContaining('--cidfile') as string });
    const { State } = (JSON.parse(await out('inspect', 'made')) as { State: { Pid: number } }[])[0] ?? {
      State: { Pid: 0 },
    };
    expect(readFileSync(`/proc/${State.Pid}/comm`, 'utf8')).toBe('sh\n');
    expect(await out('inspect', '-f', '{{.State.RootChange}}', 'made')).toBe('pivot_root');
    // The supervisor is in a session of its own, and holds none of the pipes of whoever started it.
    const { supervisor } = stateOf(id);
    expect(readdirSync(`/proc/${supervisor?.pid ?? 0}/fd`).length).toBeGreaterThan(3);
    expect(await out('rm', '-f', 'made')).toBe('made');
    expect(existsSync(`/proc/${State.Pid}`)).toBe(false);
    expect(mounts()).not.toContain(lamina.root);
    expect(containers()).toEqual([]);
  });

  const stateOf = (id: string): ContainerState =>
    JSON.parse(readFileSync(join(lamina.root, 'containers', id, 'state.json'), 'utf8')) as ContainerState;

  test('run -d fails with docker’s code where the command cannot be started, which ps and inspect tell', async () => {
    const outcome = await lamina.call(['run', '-d', '--name', 'bad', 'tiny', 'missing']);
    expect(outcome).toMatchObject({ code: 127, stdout: '', stderr: expect.stringContaining('"missing"') as string });
    expect(await status('bad')).toBe('exited 127');
    expect(await out('inspect', '-f', '{{.State.Error}}', 'bad')).toContain('not found');
    expect((await lamina.call(['start', 'bad'])).code).toBe(1);
    expect((await lamina.call(['start', '-a', 'bad'])).code).toBe(127);
    expect((await lamina.call(['run', '-d', '--rm', 'tiny', '/'])).code).toBe(126);
    await out('rm', 'bad');
    expect(containers()).toEqual([]);
    expect(mounts()).not.toContain(lamina.root);
  });

  test('logs has what was written: apart, by line, by time, and up to the end with -f', async () => {
    const script = `echo one; echo two >&2; printf 'no newline'; trap 'echo bye; exit 4' USR1; ${WAIT}`;
    await out('run', '-d', '--name', 'talks', 'tiny', 'sh', '-c', script);
    const follower = lamina.start(['logs', '-f', 'talks']);
    const followed = ended(follower);
    await wrote(follower, 'one\n');
    await expect.poll(async () => (await lamina.call(['logs', 'talks'])).stderr).toBe('two\n');
    expect(await out('stop', 'talks')).toBe('talks');
    expect(await followed).toEqual({ code: 0, stdout: 'one\nno newlinebye\n', stderr: 'two\n' });
    expect((await lamina.call(['logs', 'talks'])).stdout).toBe('one\nno newlinebye\n');
    expect(await out('logs', '--tail', '1', 'talks')).toBe('no newlinebye');
    expect(await out('logs', '-t', '-n', '1', 'talks')).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z no newlinebye$/);
    expect(await out('logs', '--until', '1h', 'talks')).toBe('');
    expect(await out('logs', '--since', '1h', 'talks')).toContain('one');
    const path = await out('inspect', '-f', '{{.LogPath}}', 'talks');
    const [first = ''] = readFileSync(path, 'utf8').split('\n');
    expect(JSON.parse(first)).toEqual({ log: 'one\n', stream: 'stdout', time: expect.stringMatching(/Z$/) as string });
    expect(await status('talks')).toBe('exited 4');
    await out('rm', 'talks');
  });

  test('a container in the foreground has a log and a control socket, too', async () => {
    const script = `echo ready; trap 'echo on term; exit 6' TERM; ${WAIT}`;
    const args = ['run', '--rm', '--name', 'front', '--stop-signal', 'TERM', 'tiny', 'sh', '-c', script];
    const client = lamina.start(args);
    const outcome = ended(client);
    await wrote(client, 'ready');
    await expect.poll(async () => (await lamina.call(['logs', 'front'])).stdout).toBe('ready\n');
    const follower = ended(lamina.start(['logs', '-f', 'front']));
    const watcher = lamina.start(['attach', '--no-stdin', 'front']);
    const watched = ended(watcher);
    const waited = lamina.call(['wait', 'front']);
    // Those three have come when they are there to be told.
    await expect.poll(() => connections(client.pid ?? 0), LONG).toBe(3);
    await out('stop', 'front');
    expect(await outcome).toEqual({ code: 6, stdout: 'ready\non term\n', stderr: '' });
    expect((await follower).stdout).toBe('ready\non term\n');
    expect(await watched).toEqual({ code: 6, stdout: 'on term\n', stderr: '' });
    expect((await waited).stdout).toBe('6\n');
    expect(containers()).toEqual([]);
    const silent = ['run', '--name', 'silent', '--log-driver', 'none', 'tiny', 'echo', 'x'];
    expect(await out(...silent)).toBe('x');
    expect((await lamina.call(['logs', 'silent'])).stderr).toContain('--log-driver none');
    await out('rm', 'silent');
  });

  /** How many are connected with a supervisor by its control socket, by the kernel's list. */
  function connections(pid: number): number {
    const own = readdirSync(`/proc/${pid}/fd`).map((fd) => linkOf(`/proc/${pid}/fd/${fd}`));
    // Num RefCount Protocol Flags Type St Inode Path; 03 is connected.
    const listed = readFileSync('/proc/net/unix', 'utf8').matchAll(/ 03 +(\d+) \S+control\.sock$/gm);
    return [...listed].filter(([, inode]) => own.includes(`socket:[${inode ?? ''}]`)).length;
  }

  function linkOf(path: string): string {
    try {
      return readlinkSync(path);
    } catch {
      return '';
    }
  }

  test('create, start, attach, restart, rename and wait', async () => {
    const args = ['create', '-i', '--name', 'later', 'tiny', 'sh', '-c', 'echo run >> /runs; cat; exit 3'];
    const id = await out(...args);
    expect(await out('ps', '-aq', '--no-trunc', '--filter', 'status=created')).toBe(id);
    expect(await lamina.call(['wait', 'later'])).toMatchObject({ stdout: '0\n' });
    expect(await out('start', 'later')).toBe('later');
    // One that runs is left as it is.
    expect(await out('start', 'later')).toBe('later');
    expect(await lamina.call(['attach', 'later'], { input: 'typed\n' })).toEqual({
      code: 3,
      stdout: 'typed\n',
      stderr: '',
    });
    expect((await lamina.call(['start', '-ai', 'later'], { input: 'again\n' })).stdout).toBe('again\n');
    await out('restart', 'later');
    const first = await out('inspect', '-f', '{{.State.Pid}}', 'later');
    await out('restart', '-t', '0', 'later');
    expect(await out('inspect', '-f', '{{.State.Pid}}', 'later')).not.toBe(first);
    await out('rename', 'later', 'sooner');
    expect((await lamina.call(['rename', 'sooner', 'sooner'])).code).toBe(1);
    expect((await lamina.call(['stop', 'later'])).stderr).toContain('no container "later"');
    const waited = lamina.call(['wait', 'sooner']);
    await out('kill', 'sooner');
    expect((await waited).stdout).toBe('137\n');
    // It runs on the files that it left.
    expect(readFileSync(join(lamina.root, 'containers', id, 'upper/runs'), 'utf8')).toBe('run\n'.repeat(4));
    expect((await lamina.call(['kill', 'sooner'])).stderr).toContain('is not running');
    expect(await out('logs', 'sooner')).toBe('typed\nagain');
    await out('rm', 'sooner');
  });

  test('stop sends the container’s signal, and SIGKILL after its time', async () => {
    const deaf = ['--stop-timeout', '1', '--stop-signal', 'TERM', 'tiny', 'sh', '-c', `trap '' TERM; ${WAIT}`];
    await out('run', '-d', '--name', 'deaf', ...deaf);
    await out('run', '-d', '--name', 'kind', 'tiny', 'sh', '-c', `trap 'exit 7' USR1; ${WAIT}`);
    expect(await out('stop', 'deaf', 'kind')).toBe('deaf\nkind');
    expect([await status('deaf'), await status('kind')]).toEqual(['exited 137', 'exited 7']);
    expect(await out('stop', 'kind')).toBe('kind');
    expect(await out('rm', '-a')).toMatch(/^[0-9a-f]{64}\n[0-9a-f]{64}$/);
  });

  test('restart policies: on-failure as often as it says, always until it is stopped', async () => {
    await out('run', '-d', '--name', 'fails', '--restart', 'on-failure:2', 'tiny', 'sh', '-c', 'echo run; exit 5');
    await out('run', '-d', '--name', 'always', '--restart', 'always', 'tiny', 'sh', '-c', 'echo run');
    await expect.poll(() => status('fails'), LONG).toBe('exited 5');
    expect(await out('logs', 'fails')).toBe('run\nrun\nrun');
    expect(await out('inspect', '-f', '{{.RestartCount}}', 'fails')).toBe('2');
    await expect
      .poll(async () => Number(await out('inspect', '-f', '{{.RestartCount}}', 'always')), LONG)
      .toBeGreaterThan(2);
    await out('stop', 'always');
    const count = await out('inspect', '-f', '{{.RestartCount}} {{.State.Status}}', 'always');
    expect(count).toMatch(/exited$/);
    expect(await out('ps', '-a', '--filter', 'restart-policy=always', '--format', '{{.Names}}')).toBe('always');
    // As after a reboot.
    await out('start', '--filter', 'restart-policy=always');
    await expect
      .poll(async () => (await out('logs', 'always')).split('\n').length, LONG)
      .toBeGreaterThan(Number(count.split(' ')[0]) + 1);
    await out('rm', '-f', 'always', 'fails');
    expect((await lamina.call(['run', '--rm', '--restart', 'always', 'tiny', 'true'])).code).toBe(125);
  });

  test('a supervisor holds as much after a restart as before it', async () => {
    await out('run', '-d', '--name', 'again', '--restart', 'always', 'tiny', 'sh', '-c', 'sync /etc/hosts; sleep 0.4');
    const eventsAfter = async (restarts: string): Promise<number> => {
      const told = async (): Promise<string> => out('inspect', '-f', '{{.RestartCount}} {{.State.Status}}', 'again');
      await expect.poll(told, LONG).toBe(`${restarts} running`);
      const descriptors = `/proc/${stateOf(await out('inspect', '-f', '{{.Id}}', 'again')).supervisor?.pid ?? 0}/fd`;
      const names = readdirSync(descriptors).map((fd) => {
        try {
          return readlinkSync(join(descriptors, fd));
        } catch {
          return '';
        }
      });
      return names.filter((name) => name === 'anon_inode:[eventfd]').length;
    };
    const before = await eventsAfter('1');
    expect(await eventsAfter('4')).toBeLessThan(before + 3);
    await out('rm', '-f', 'again');
  });

  test('after a reboot a container that ran is dead, and starts', async () => {
    const id = await out('run', '-d', '--name', 'was', 'tiny', 'sh', '-c', 'echo x > /x; exit 0');
    await out('wait', 'was');
    // A state of another boot, with processes whose numbers are alive in this one.
    const state = stateOf(id);
    const boot = '00000000-0000-0000-0000-000000000000';
    const self = { pid: process.pid, startTime: 0, boot };
    const path = join(lamina.root, 'containers', id, 'state.json');
    writeFileSync(path, JSON.stringify({ ...state, status: 'running', supervisor: self, init: self }));
    expect(await out('ps', '-a', '--format', '{{.Status}}')).toBe('Dead');
    expect(await out('start', 'was')).toBe('was');
    expect(await out('wait', 'was')).toBe('0');
    expect(await status('was')).toBe('exited 0');
    await out('rm', 'was');
    expect(containers()).toEqual([]);
  });

  test('ps and prune choose by filters', async () => {
    await out('create', '--name', 'one', '-l', 'k=1', 'tiny', 'true');
    await out('create', '--name', 'two', '-l', 'k=2', 'tiny', 'true');
    const names = (...filters: string[]): Promise<string> =>
      out('ps', '-a', '--format', '{{.Names}}', ...filters.flatMap((filter) => ['--filter', filter]));
    expect(await names('label=k')).toBe('two\none');
    expect(await names('label=k=1', 'ancestor=tiny')).toBe('one');
    expect(await names('name=^tw', 'name=zzz')).toBe('two');
    expect(await names('since=one')).toBe('two');
    expect(await names('before=two', 'status=created')).toBe('one');
    expect(await names('exited=0')).toBe('');
    expect(await out('ps', '-l', '--format', 'table {{.Names}}\t{{.Image}}')).toBe('NAMES   IMAGE\ntwo     tiny');
    expect(JSON.parse(await out('ps', '-n', '1', '--format', 'json'))).toMatchObject({
      Names: 'two',
      State: 'created',
    });
    expect((await lamina.call(['ps', '--filter', 'colour=red'])).stderr).toContain('colour=red');
    expect(await out('container', 'prune', '-f', '--filter', 'label!=k=2')).toMatch(
      /^Deleted Containers:\n[0-9a-f]{64}\n\nTotal/,
    );
    expect(await names()).toBe('two');
    expect((await lamina.call(['container', 'exists', 'one'])).code).toBe(1);
    await out('run', '-d', '--name', 'two', '--replace', 'tiny', 'sh', '-c', WAIT);
    expect(await out('container', 'ls', '-q')).toMatch(/^[0-9a-f]{12}$/);
    await out('rm', '-fa');
  });
});
