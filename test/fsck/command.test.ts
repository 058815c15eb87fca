import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Ended, Ground } from '../support/ground.ts';
import { FUSE_OVERLAYFS, KERNEL, LAMINA } from '../support/mounters.ts';
import { DIST } from '../support/paths.ts';
import { firstMissing, has, titled } from '../support/requirements.ts';
import { type Tree, directory, whiteout } from '../support/tree.ts';
import { Site } from './site.ts';

const LAYERS = 'lowerdir=top:bottom,upperdir=upper,workdir=work';
const BROKEN: Tree = {
  gone: whiteout,
  d: directory({ own: 'own' }, { xattrs: { 'trusted.overlay.redirect': '/nowhere' } }),
  'line\nbreak': whiteout,
};
const DOUBLED: Tree = {
  a: whiteout,
  one: directory({}, { xattrs: { 'trusted.overlay.redirect': '/a' } }),
  two: directory({}, { xattrs: { 'trusted.overlay.redirect': '/a' } }),
};

const missing = firstMissing(KERNEL.missing, LAMINA.missing);

describe.skipIf(missing !== undefined)(titled('lamina fsck', missing), () => {
  let ground: Ground;
  beforeAll(async () => void (ground = await Ground.open('root')));
  afterAll(() => ground.close());

  const fsck = (site: Site, ...parameters: readonly string[]): Promise<Ended> =>
    ground.run([process.execPath, join(DIST, 'cli/lamina.js'), 'fsck', ...parameters], site.directory);

  const make = (upper: Tree = {}, top: Tree = {}): Promise<Site> => Site.make(ground, upper, top);

  test('says that a clean upper is clean, and ends with 0', async () => {
    const site = await make({ f: 'f' });
    const clean = 'upper: clean (1 directories, 1 files, 0 index entries)\n';
    expect(await fsck(site, '-o', LAYERS)).toEqual({ code: 0, stdout: clean, stderr: '' });
    expect(await fsck(site, '-o', LAYERS, '--repair')).toEqual({ code: 0, stdout: clean, stderr: '' });
  });

  test('says what is wrong in a line each and ends with 4; mended, with 1; then with 0', async () => {
    const site = await make(BROKEN);
    const layers = ['upper', '--workdir', 'work', '--lower', 'top', '--lower', 'bottom'];
    const found = await fsck(site, ...layers);
    expect(found.code).toBe(4);
    expect(found.stdout.trim().split('\n')).toHaveLength(4);
    expect(found.stdout).toMatch(/^upper \/gone: whiteout-orphan \(harmless\): .*; repair: remove it$/m);
    expect(found.stdout).toMatch(
      /^upper \/d: redirect-dangling: redirected to "\/nowhere", .*; repair: remove trusted/m,
    );
    expect(found.stdout).toContain('upper /line\\012break: whiteout-orphan');
    expect(found.stdout).toMatch(/^upper: 0 mended, 3 left, 3 of which --repair mends /m);
    const mended = await fsck(site, ...layers, '-y');
    expect([mended.code, mended.stdout.match(/; mended: /g)]).toEqual([1, Array(3).fill('; mended: ')]);
    expect((await fsck(site, ...layers, '--repair')).code).toBe(0);
  });

  test('changes nothing without --repair, and with --dry-run', async () => {
    const site = await make(BROKEN);
    const listed = () => ground.must(['sh', '-c', 'ls -lRi upper work; getfattr -dm - upper/d'], site.directory);
    const before = await listed();
    for (const flags of [[], ['--dry-run'], ['-n', '--repair'], ['--clear-volatile', '-n']]) {
      expect((await fsck(site, '-o', LAYERS, ...flags)).code).toBe(4);
      expect(await listed()).toBe(before);
    }
  });

  test('ends with 4 where something is left that cannot be mended without loss', async () => {
    const site = await make(DOUBLED, { a: {} });
    const { code, stdout } = await fsck(site, '-o', LAYERS, '--repair');
    expect([code, stdout.match(/redirect-duplicate: .*; not repairable: /g)?.length]).toEqual([4, 2]);
  });

  test('prints JSON', async () => {
    const site = await make(BROKEN);
    const { stdout } = await fsck(site, '-o', LAYERS, '--json');
    const report = JSON.parse(stdout) as { mended: unknown[]; left: { kind: string; path: string }[] };
    expect(report.left.map(({ kind, path }) => [kind, path]).sort()).toEqual([
      ['redirect-dangling', '/d'],
      ['whiteout-orphan', '/gone'],
      ['whiteout-orphan', '/line\nbreak'],
    ]);
    expect(report).toMatchObject({ mended: [], failures: [], directories: 2, files: 1 });
  });

  test('ends with 16 where the command line is wrong, with a line that says why', async () => {
    const site = await make();
    const wrong = [[], ['--bogus'], ['-o', 'lowerdir=top,nonsense=1'], ['-o', 'workdir=work'], ['upper', 'again']];
    for (const parameters of wrong) {
      const { code, stderr } = await fsck(site, ...parameters);
      expect([code, parameters]).toEqual([16, parameters]);
      expect(stderr.split('\n')[0]).toMatch(/^lamina: \w/);
    }
    expect((await fsck(site, '--help')).code).toBe(0);
  });

  test('ends with 8 where a layer cannot be opened, or nothing can be locked', async () => {
    const site = await make();
    const gone = await fsck(site, '-o', 'lowerdir=none,upperdir=upper,workdir=work');
    expect([gone.code, gone.stderr]).toEqual([
      8,
      'lamina: cannot open lowerdir none: no such file or directory (ENOENT)\n',
    ]);
    const unlocked = await fsck(site, 'upper', '--lower', 'top', '--repair');
    expect([unlocked.code, unlocked.stderr]).toEqual([
      8,
      expect.stringMatching(/^lamina: cannot repair .* --workdir DIR\n$/),
    ]);
  });

  test('without lower layers checks what can be checked without, and says so', async () => {
    const site = await make({ gone: whiteout, d: directory({}, { xattrs: { 'trusted.overlay.opaque': 'no' } }) });
    const { code, stdout, stderr } = await fsck(site, 'upper');
    // Harmless.
    expect(code).toBe(0);
    expect(stdout).toMatch(/^upper \/d: opaque-value \(harmless\): .*\nupper: 0 mended, 1 left/);
    expect(stderr).toMatch(/no lower layers are given.*\n.*no workdir is given/);
  });

  test('takes an upper by -o without a workdir, and names an option that it does not know', async () => {
    const site = await make({ f: 'f' });
    const { code, stderr } = await fsck(site, '-o', 'lowerdir=top:bottom,upperdir=upper');
    expect([code, stderr]).toEqual([0, expect.stringMatching(/^lamina: no workdir is given .*\n$/)]);
    for (const more of [[], ['upper']]) {
      const unknown = await fsck(site, '-o', 'bad=1', ...more);
      expect([unknown.code, unknown.stderr]).toEqual([16, 'lamina: unknown mount option: bad=1\n']);
    }
    expect((await fsck(site, '-o', 'workdir=work', 'upper')).stderr).not.toMatch(/no workdir/);
    expect((await fsck(site, '--help')).stdout).not.toContain('default:');
  });

  test('checks lower layers where asked, and never changes them', async () => {
    const site = await make({}, { gone: whiteout });
    expect((await fsck(site, '-o', LAYERS)).code).toBe(0);
    const { code, stdout } = await fsck(site, '-o', LAYERS, '--all-layers', '--repair');
    expect(code).toBe(0);
    expect(stdout).toMatch(/^lower 1 \/gone: whiteout-orphan .*; not repairable: lower layers are never changed$/m);
  });

  test('removes the mark of a volatile mount only where told to, after which the upper mounts', async () => {
    const site = await make({ f: 'f' });
    await site.within(LAMINA, () => site.ground.release());
    await site.system.mkdir(site.at('work/work/incompat'));
    await site.system.mkdir(site.at('work/work/incompat/volatile'));
    expect((await fsck(site, '-o', LAYERS, '--repair')).code).toBe(4);
    await expect(site.within(LAMINA, () => site.ground.release())).rejects.toThrow(/volatile/);
    expect((await fsck(site, '-o', LAYERS, '--clear-volatile')).code).toBe(1);
    expect(await site.see(LAMINA, { times: false })).toHaveLength(2);
  });

  test('finds the layers of an upper in the store of podman and docker by itself', async () => {
    const site = await make();
    await ground.must(
      ['sh', '-c', 'mkdir -p s/1/diff s/l s/2 && ln -s ../1/diff s/l/ABC && mv work s/2/work'],
      site.directory,
    );
    await ground.must(
      ['sh', '-c', 'mv upper s/2/diff && echo l/ABC >s/2/lower && mknod s/2/diff/gone c 0 0'],
      site.directory,
    );
    const found = await fsck(site, 's/2/diff');
    expect([found.code, found.stderr, found.stdout]).toEqual([0, '', expect.stringContaining('(harmless)')]);
    expect((await fsck(site, 's/2/diff', '--repair')).code).toBe(1);
  });

  for (const mounter of [LAMINA, KERNEL, FUSE_OVERLAYFS]) {
    const absent = firstMissing(mounter.missing, has('setpriv'));
    test.skipIf(absent !== undefined)(titled(`refuses to mend what ${mounter.name} has mounted`, absent), async () => {
      const site = await make(BROKEN);
      await site.within(mounter, async () => {
        const checked = await fsck(site, '-o', LAYERS);
        expect([checked.code, checked.stderr]).toEqual([4, expect.stringMatching(/the upper is in use, .*: \w/)]);
        const { code, stderr, stdout } = await fsck(site, '-o', LAYERS, '--repair');
        expect([code, stdout, stderr]).toEqual([
          8,
          '',
          expect.stringMatching(/^lamina: cannot repair upper while it is in use: /),
        ]);
      });
      expect((await fsck(site, '-o', LAYERS, '--repair')).code).toBe(1);
    });
  }

  const untraced = has('strace');
  test.skipIf(untraced !== undefined)(
    titled('killed before any of its changes, leaves what the next run mends', untraced),
    async () => {
      const make = async () => {
        const site = await Site.make(
          ground,
          { ...BROKEN, e: directory({ own: 'own' }, { xattrs: { 'trusted.overlay.redirect': '/nowhere' } }) },
          { e: { hidden: 'hidden' }, d: { hidden: 'hidden' } },
        );
        await ground.must(['sh', '-c', 'mkdir work/work work/work/#1 && echo half >work/work/#1/f'], site.directory);
        return site;
      };
      const changes = 'lsetxattr,setxattr,lremovexattr,removexattr,unlinkat,renameat2,mknodat';
      const trees: string[][] = [];
      let killed = 0;
      for (let at = 1; at <= 20; at++) {
        const site = await make();
        const traced = ['strace', '-f', '-qq', '-o', '/dev/null', '-e', `trace=${changes}`];
        const inject = ['-e', `inject=${changes}:signal=SIGKILL:when=${at}`];
        const program = [process.execPath, join(DIST, 'cli/lamina.js'), 'fsck', '-o', LAYERS, '--repair'];
        const { code } = await ground.run([...traced, ...inject, ...program], site.directory);
        trees.push(await site.see(LAMINA, { times: false }));
        expect([0, 1]).toContain((await fsck(site, '-o', LAYERS, '--repair')).code);
        expect((await fsck(site, '-o', LAYERS)).code).toBe(0);
        trees.push(await site.see(LAMINA, { times: false }));
        if (code === 1) break;
        killed++;
      }
      expect(killed).toBeGreaterThan(4);
      for (const tree of trees) expect(tree).toEqual(trees[0]);
    },
    // Many runs, each with two mounts.
    240_000,
  );
});
