import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type ContainerState } from '../../runner/container/container.ts';
import { type Layer } from '../../runner/demo/image.ts';
import { DIST } from '../support/paths.ts';
import { firstMissing, has, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';
import { Lamina, extraProgram, recipe } from './lamina.ts';
import { Tmux } from './tmux.ts';

const missing = firstMissing(isRoot(), hasFuseDevice(), has('tmux'), has('script'));
const XTERM = '/lib/terminfo/x/xterm';
const LONG = { timeout: 20_000 };

function terminfo(): Layer {
  const content = readFileSync(XTERM);
  return { title: 'how an xterm is driven', entries: [{ type: 'file', name: XTERM.slice(1), content }] };
}

const PROGRAM = `${process.execPath} ${join(DIST, 'cli/lamina.js')}`;

describe.skipIf(missing)(titled('terminals of containers', missing), () => {
  let lamina: Lamina;
  let tmux: Tmux;

  beforeAll(async () => {
    lamina = new Lamina();
    const programs = ['stty', 'tty'].map(extraProgram);
    await lamina.load(recipe('tiny', programs));
    expect(
      (await lamina.call(['run', '-d', '--network', 'none', '--name', 'host', 'tiny', 'sleep', '1000'])).code,
    ).toBe(0);
  });

  afterAll(async () => {
    await lamina.close();
  });

  beforeEach(async () => {
    tmux = new Tmux({ LAMINA_ROOT: lamina.root, PS1: 'outside> ', lamina: PROGRAM });
    // What is typed before the shell asks for it is shown twice.
    await tmux.shows(/outside>\n$/);
    tmux.type('before=$(stty -g)');
    await tmux.shows(/before=.*\n(.*\n)*outside>\n$/);
  });

  afterEach(() => tmux.close());

  let asked = 0;

  /** The shell outside is back, with its terminal as it was, after a command that ended with the code. */
  async function isRestored(code: number): Promise<void> {
    // What is typed before is typed at the client.
    await tmux.shows(/outside>\n$/);
    const token = `asked-${++asked}`;
    tmux.type(`echo "${token}:$? $([ "$(stty -g)" = "$before" ] && echo restored || echo spoiled)"`);
    await tmux.shows(`${token}:${code} restored`);
  }

  test('run -it: tty, size, resizes, ^C, ^Z and fg, detach and attach, ^D; the terminal is as it was', async () => {
    tmux.type("$lamina run --network none -it --name it -e PS1='inside> ' tiny");
    await tmux.shows(/inside>$/m);
    tmux.type('echo "$(tty) $(stty size) $TERM"; stat -c "%n %t:%T %u:%g %a" /dev/pts/0 /dev/console');
    await tmux.shows('/dev/pts/0 24 80 xterm');
    await tmux.shows(/\/dev\/pts\/0 88:0 0:5 620\n\/dev\/console 88:0 0:5 620/);
    tmux.resize(100, 30);
    tmux.type('while [ "$(stty size)" != "30 100" ]; do sleep 0.1; done; echo "re""sized"');
    await tmux.shows('resized');
    tmux.type('sleep 1234');
    await expect.poll(async () => (await lamina.call(['top', 'it'])).stdout, LONG).toContain('sleep 1234');
    tmux.press('C-c');
    tmux.type('echo "status=$?"');
    await tmux.shows('status=130');
    tmux.type('sleep 4321');
    await expect.poll(async () => (await lamina.call(['top', 'it'])).stdout, LONG).toContain('sleep 4321');
    tmux.press('C-z');
    await tmux.shows('Stopped');
    tmux.type('fg');
    await expect
      .poll(async () => (await lamina.call(['top', 'it', '-o', 'pid,stat,args'])).stdout, LONG)
      .toMatch(/S\+ +sleep 4321/);
    tmux.press('C-c');
    tmux.type('echo "job=$?"');
    await tmux.shows('job=130');
    tmux.press('C-p', 'C-q');
    await tmux.shows('read escape sequence');
    await isRestored(0);
    tmux.type('$lamina attach it');
    tmux.type('echo "ba""ck"');
    await tmux.shows(/^back$/m);
    tmux.type('(exit 7)');
    tmux.press('C-d');
    await isRestored(7);
    expect((await lamina.call(['logs', 'it'])).stdout).toMatch(/status=130\r\n/);
    expect((await lamina.call(['rm', 'it'])).code).toBe(0);
  });

  test('exec -it has a terminal of its own, with the size of the client; other detach keys', async () => {
    tmux.type("$lamina exec -it --detach-keys ctrl-a,d -e PS1='inside> ' host sh");
    await tmux.shows(/inside>$/m);
    tmux.type('echo "$(tty) $(stty size) $TERM"');
    await tmux.shows('/dev/pts/0 24 80 xterm');
    tmux.resize(90, 20);
    tmux.type('while [ "$(stty size)" != "20 90" ]; do sleep 0.1; done; echo "re""sized"');
    await tmux.shows('resized');
    tmux.type('sleep 999');
    tmux.press('C-a', 'd');
    await isRestored(0);
    await expect.poll(async () => (await lamina.call(['top', 'host'])).stdout, LONG).toContain('sleep 999');
    tmux.type("$lamina exec -it -e PS1='other> ' host sh");
    await tmux.shows(/other>$/m);
    tmux.type('tty; exit 5');
    await tmux.shows('/dev/pts/1');
    await isRestored(5);
  });

  test('the terminal is as it was after signals to the client, the end of the container, and errors', async () => {
    const start = async (name: string): Promise<number> => {
      tmux.type(`sh -c 'echo "pid""=$$"; exec $lamina exec -it -e PS1=${name} host sh'; true`);
      await tmux.shows(new RegExp(`^${name}$`, 'm'));
      return Number([...tmux.screen.matchAll(/^pid=(\d+)$/gm)].at(-1)?.[1]);
    };
    for (const signal of ['SIGTERM', 'SIGHUP', 'SIGQUIT'] as const) {
      process.kill(await start(`in-${signal}`), signal);
      await isRestored(0);
    }
    tmux.type('$lamina exec -it host missing');
    await isRestored(127);
    tmux.type("$lamina run --network none -it --rm --name killed -e PS1='dying> ' tiny");
    await tmux.shows(/dying>$/m);
    expect((await lamina.call(['kill', 'killed'])).code).toBe(0);
    await isRestored(137);
    tmux.type("$lamina run --network none -it --name orphan -e PS1='orphan> ' tiny");
    await tmux.shows(/orphan>$/m);
    const [id = ''] = (await lamina.call(['ps', '-q', '--no-trunc', '--filter', 'name=orphan'])).stdout.split('\n');
    const text = readFileSync(join(lamina.root, 'containers', id, 'state.json'), 'utf8');
    process.kill((JSON.parse(text) as ContainerState).supervisor?.pid ?? 0, 'SIGKILL');
    await isRestored(125);
    tmux.type('$lamina run --network none -it --rm tiny missing');
    await isRestored(127);
    tmux.type('$lamina run --network none -it --rm tiny true </dev/null');
    await tmux.shows('the input device is not a TTY');
  });

  test('a client that is killed leaves no process on its terminal', async () => {
    tmux.type("exec $lamina exec -it -e PS1='inside> ' host sh -c 'sleep 7777'");
    await expect.poll(async () => (await lamina.call(['top', 'host'])).stdout, LONG).toContain('sleep 7777');
    tmux.close();
    await expect.poll(async () => (await lamina.call(['top', 'host'])).stdout, LONG).not.toContain('sleep 7777');
  });

  const noEditors = firstMissing(has('less'), has('vi'), has('ldd'));

  test.skipIf(noEditors)(titled('less pages and vi edits in a container', noEditors), async () => {
    await lamina.load(recipe('editors', [...['less', 'vi'].map(extraProgram), terminfo()]));
    tmux.type("$lamina run --network none -it --rm -e PS1='inside> ' editors");
    await tmux.shows(/inside>$/m);
    tmux.type('i=0; while [ $i -lt 100 ]; do echo "line $((i += 1))"; done > /text; less /text');
    await tmux.shows(/^line 23$/m);
    tmux.press('Space');
    await tmux.shows(/^line 46$/m);
    tmux.press('G');
    await tmux.shows(/^line 100$/m);
    tmux.press('q');
    tmux.type('vi -u NONE /note');
    await tmux.shows(/^~$/m);
    tmux.press('i');
    tmux.type('written in vi');
    tmux.press('Escape');
    tmux.type(':wq');
    await tmux.shows(/inside>$/m);
    tmux.type('echo "content: $(cat /note)"');
    await tmux.shows('content: written in vi');
    tmux.press('C-d');
    await isRestored(0);
  });
});
