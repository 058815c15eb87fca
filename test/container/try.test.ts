import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, linkSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { run, snapshot, temporary } from '../image/ground.ts';
import { firstMissing, has, hasFuseDevice, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';
import { ended, Lamina, makeUser, recipe, removeUser, type User } from './lamina.ts';

const LONG = { timeout: 90_000 };
const missing = firstMissing(isRoot(), hasFuseDevice());

// Nothing here is ever committed to a path of the machine: what is, has --root.
describe.skipIf(missing)(titled('lamina try', missing), () => {
  let lamina: Lamina;
  let base: string;

  beforeAll(async () => {
    lamina = new Lamina();
    await lamina.load(recipe('tiny'));
    const layers = join(lamina.root, 'layers');
    const [layer = ''] = readdirSync(layers).filter((name) => statSync(join(layers, name)).isDirectory());
    base = join(lamina.root, '../base');
    run('cp', '-a', join(layers, layer), base);
  });
  afterAll(() => lamina.close());

  /** A root for one test. */
  function root(): string {
    const path = temporary();
    run('cp', '-a', `${base}/.`, path);
    mkdirSync(join(path, 'd/sub'), { recursive: true });
    mkdirSync(join(path, 'gone'));
    writeFileSync(join(path, 'd/f'), 'one\n');
    linkSync(join(path, 'd/f'), join(path, 'd/hard'));
    writeFileSync(join(path, 'gone/x'), '');
    return path;
  }

  test("runs over the machine's own files, shows what would change, and changes nothing", LONG, async () => {
    const here = temporary();
    writeFileSync(join(here, 'f'), 'a\n');
    const before = readFileSync('/etc/hostname', 'utf8');
    const script = `echo b >>f; rm -f /etc/hostname; echo $FROM; cat f; ls ${lamina.root}; test -r /proc/1/root/etc/shadow; kill -9 1; exit 3`;
    const child = lamina.start(['try', '-w', here, '--diff', 'sh', '-c', script], { env: { FROM: 'caller' } });
    child.stdin?.end();
    const { code, stdout, stderr } = await ended(child);
    expect({ code, stderr }).toEqual({ code: 3, stderr: '' });
    expect(stdout).toContain('caller\na\nb\n');
    expect(stdout).toMatch(new RegExp(`^C ${here}/f$`, 'm'));
    expect(stdout).toMatch(/^D \/etc\/hostname$/m);
    expect(stdout).toContain('@@ -1 +1,2 @@\n a\n+b\n');
    expect(readFileSync(join(here, 'f'), 'utf8')).toBe('a\n');
    expect(readFileSync('/etc/hostname', 'utf8')).toBe(before);
    expect((await lamina.call(['ps', '-aq'])).stdout).toBe('');
    expect(readFileSync('/proc/mounts', 'utf8')).not.toContain(lamina.root);
  });

  test('--commit makes the changes with owners, modes, times and links, where the command succeeds', LONG, async () => {
    const path = root();
    const untouched = snapshot(path);
    const failed = await lamina.call(['try', '--root', path, '--commit', 'sh', '-c', 'echo two >>/d/f; exit 5']);
    expect([failed.code, failed.stderr]).toEqual([5, 'lamina: the command ended with 5: nothing is changed\n']);
    expect(snapshot(path)).toEqual(untouched);
    const script = [
      'echo two >>/d/f; rm -r /gone; mkdir -m 1750 /new; echo n >/new/n; ln /new/n /new/m; chown 3:4 /new/n',
      'chmod 4755 /new/n; touch -d @1000000000 /new/n; ln -s x /new/s; mv /d/sub /d/moved; mkfifo /new/p; chmod 700 /d',
    ].join('; ');
    const { code, stdout, stderr } = await lamina.call(['try', '--root', path, '--commit', 'sh', '-c', script]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toContain('C /d\nC /d/f\nC /d/hard\nA /d/moved\nD /d/sub\nD /gone\nA /new\n');
    expect(readFileSync(join(path, 'd/hard'), 'utf8')).toBe('one\ntwo\n');
    expect(statSync(join(path, 'd/hard')).ino).toBe(statSync(join(path, 'd/f')).ino);
    const { uid, gid, mode, mtimeMs, nlink } = statSync(join(path, 'new/n'));
    expect({ uid, gid, mode: mode & 0o7777, mtimeMs, nlink }).toEqual({
      ...{ uid: 3, gid: 4, mode: 0o4755, mtimeMs: 1_000_000_000_000, nlink: 2 },
    });
    expect([statSync(join(path, 'd')).mode & 0o7777, statSync(join(path, 'new')).mode & 0o7777]).toEqual([
      0o700, 0o1750,
    ]);
    expect(readdirSync(join(path, 'new')).sort()).toEqual(['m', 'n', 'p', 's']);
    expect([existsSync(join(path, 'gone')), existsSync(join(path, 'd/moved'))]).toEqual([false, true]);
  });

  test('does nothing where the machine has changed meanwhile, and keeps what is to be kept', LONG, async () => {
    const path = root();
    const kept = await lamina.call(['try', '--root', path, '--keep', 'kept', 'sh', '-c', 'echo two >>/d/f; echo >/z']);
    expect([kept.code, kept.stderr]).toEqual([0, '']);
    await sleep(20);
    writeFileSync(join(path, 'd/f'), 'other\n');
    const { code, stderr } = await lamina.call(['try', '--resume', 'kept']);
    expect([code, stderr]).toEqual([
      125,
      expect.stringMatching(/^lamina: the host has changed meanwhile.*: \/d\/f, \/d\/hard\n$/),
    ]);
    expect([readFileSync(join(path, 'd/f'), 'utf8'), existsSync(join(path, 'z'))]).toEqual(['other\n', false]);
    expect((await lamina.call(['rm', 'kept'])).stdout).toBe('kept\n');
    for (const args of [['try'], ['try', '--commit', '--discard', 'true'], ['try', '--resume', 'none']]) {
      expect((await lamina.call(args)).code).toBe(125);
    }
  });

  test('finishes by --resume a commit that was killed, with each file whole meanwhile', LONG, async () => {
    const path = root();
    mkdirSync(join(path, 'many'));
    for (let at = 0; at < 300; at += 1) writeFileSync(join(path, 'many', String(at)), 'old\n');
    cpSync(join(path, 'many'), join(path, 'removed'), { recursive: true });
    const script = 'for f in /many/*; do echo new >>$f; done; rm -r /removed; mkdir /made; ln /many/0 /made/link';
    await lamina.call(['try', '--root', path, '--keep', 'killed', 'sh', '-c', script]);
    const child = lamina.start(['try', '--resume', 'killed']);
    const end = ended(child);
    while (readFileSync(join(path, 'many/10'), 'utf8') === 'old\n' && child.exitCode === null) await sleep(1);
    child.kill('SIGKILL');
    await end;
    const contents = new Set(
      readdirSync(join(path, 'many')).map((name) => readFileSync(join(path, 'many', name), 'utf8')),
    );
    for (const content of contents) expect(['old\n', 'old\nnew\n', '']).toContain(content);
    const left = await lamina.call(['ps', '-aq']);
    if (left.stdout !== '') expect((await lamina.call(['try', '--resume', 'killed'])).code).toBe(0);
    const names = readdirSync(join(path, 'many'));
    expect(names).toHaveLength(300);
    for (const name of names) expect(readFileSync(join(path, 'many', name), 'utf8')).toBe('old\nnew\n');
    expect(statSync(join(path, 'made/link')).ino).toBe(statSync(join(path, 'many/0')).ino);
    expect(existsSync(join(path, 'removed'))).toBe(false);
    expect((await lamina.call(['ps', '-aq'])).stdout).toBe('');
  });
});

const noUser = firstMissing(isRoot(), hasFuseDevice(), hasUserNamespaces(), has('useradd'), has('newuidmap'));

describe.skipIf(noUser)(titled('lamina try of an ordinary user', noUser), () => {
  let user: User;
  let lamina: Lamina;

  let base: string;

  beforeAll(async () => {
    user = makeUser('lamina-try', { start: 740_000_000, count: 65_536 });
    lamina = new Lamina(user);
    await lamina.load(recipe('tiny'));
    const layers = join(lamina.root, 'layers');
    const [layer = ''] = readdirSync(layers).filter((name) => statSync(join(layers, name)).isDirectory());
    base = `/home/${user.name}/base`;
    run('cp', '-a', join(layers, layer), base);
  });
  afterAll(async () => {
    await lamina.close();
    removeUser(user.name);
  });

  test("changes what is the user's, in the union alone until it is committed, and nothing else", LONG, async () => {
    const home = `/home/${user.name}`;
    spawnSync('setpriv', [`--reuid=${user.name}`, '--clear-groups', 'sh', '-c', `echo a >${home}/f`]);
    const script = `echo b >>${home}/f; rm -f /etc/hostname; cat ${home}/f; cat /etc/shadow 2>/dev/null || echo refused`;
    const tried = await lamina.call(['try', '--discard', 'sh', '-c', script]);
    const changes = `C /etc\nD /etc/hostname\nC /home\nC ${home}\nC ${home}/f\n`;
    expect(tried).toEqual({ code: 0, stdout: `a\nb\nrefused\n${changes}`, stderr: '' });
    expect(readFileSync(join(home, 'f'), 'utf8')).toBe('a\n');
    // Another's directory: the machine's root is nobody in the user's namespace.
    mkdirSync(join(base, 'other'));
    writeFileSync(join(base, 'other/f'), '');
    const refused = await lamina.call(['try', '--root', base, '--commit', 'sh', '-c', 'echo >/y; rm -f /other/f']);
    expect([refused.code, refused.stderr]).toEqual([125, 'lamina: you may not change /other/f: nothing is done\n']);
    expect([existsSync(join(base, 'y')), existsSync(join(base, 'other/f'))]).toEqual([false, true]);
    const committed = await lamina.call([
      'try',
      '--root',
      base,
      '--commit',
      'sh',
      '-c',
      'mkdir /x; echo x >/x/x; chown 1 /x/x',
    ]);
    expect(committed).toEqual({ code: 0, stdout: 'A /x\nA /x/x\n', stderr: '' });
    expect([statSync(join(base, 'x')).uid, statSync(join(base, 'x/x')).uid]).toEqual([user.uid, 740_000_000]);
  });
});
