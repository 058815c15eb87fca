import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Filesystem, missingFilesystem, mountFilesystem } from '../support/filesystems.ts';
import { Ground } from '../support/ground.ts';
import { LAMINA } from '../support/mounters.ts';
import { firstMissing, has, titled } from '../support/requirements.ts';

const EXT4: Filesystem = { kind: 'ext4', mebibytes: 64, make: ['-m', '0', '-O', 'has_journal'] };
/** Another thread makes the copies of the later ones. */
const SMALL = 300;

const missing = firstMissing(LAMINA.missing, missingFilesystem(EXT4), has('strace'));

// What the disk has been given so far is what the image has: a copy of it is the disk after a power cut.
describe.skipIf(missing !== undefined)(titled('an upper after a power cut', missing), () => {
  let ground: Ground;
  beforeAll(async () => {
    ground = await Ground.open('root');
    await mountFilesystem(ground, 'disk', EXT4);
    await ground.must(['sh', '-c', 'mkdir -p lower merged cut disk/upper disk/work && sync disk/upper']);
  });
  afterAll(() => ground.close());

  const script = (text: string): Promise<string> => ground.must(['sh', '-ec', text]);

  test('has each file that is copied up whole, once the journal has its name', async () => {
    await script(`head -c ${5000 * SMALL} /dev/urandom | split -b 5000 -a 3 -d - lower/`);
    await script('head -c 3000000 /dev/urandom >lower/large; cp lower/large lower/large-metacopy; ls lower >names');
    const layers = { lowers: ['lower'], upper: 'disk/upper', work: 'disk/work', cwd: ground.directory };
    const mounted = await LAMINA.mount(ground, layers, `${ground.directory}/merged`);
    // Some as metacopies first, whose data follows.
    await script('cd merged; chmod 600 1* large-metacopy; for file in *; do : >>$file; done');
    // Another's fsync has the journal written, with all that came before.
    await script('head -c 1 /dev/zero | dd of=disk/other conv=fsync 2>&1');
    await script('cp --sparse=always disk.image cut.image; mount -o loop cut.image cut');
    expect(await script('cd cut/upper && ls')).toBe(await script('cat names'));
    expect(await script('diff -rq lower cut/upper')).toBe('');
    await script('umount cut');
    await ground.release();
    await mounted.unmount();
  });

  // The disk may be quick enough that nothing is lost by not waiting: what is waited for is looked at, too.
  test('has waited for the data of each copy before the copy got its name', async () => {
    await script('rm -rf disk/upper disk/work; mkdir disk/upper disk/work');
    const layers = { lowers: ['lower'], upper: 'disk/upper', work: 'disk/work', cwd: ground.directory };
    const mounted = await LAMINA.mount(ground, layers, `${ground.directory}/merged`);
    const trace = `${ground.directory}/trace`;
    const traced = [
      '-e',
      'trace=sync_file_range,fdatasync,copy_file_range,renameat,renameat2',
      '-f',
      '-y',
      '-o',
      trace,
    ];
    const tracer = spawn('strace', [...traced, '-p', String(mounted.daemon?.pid)]);
    await once(tracer.stderr, 'data');
    await script('cd merged; for file in *; do : >>$file; done');
    await ground.release();
    await mounted.unmount();
    if (tracer.exitCode === null) await once(tracer, 'exit');
    const calls = await readFile(trace, 'utf8');
    const copiers = new Set(calls.match(/^\d+(?= +copy_file_range.*, 5000, 0)/gm));
    expect(copiers.size).toBeGreaterThanOrEqual(availableParallelism() > 1 ? 2 : 1);
    const named = namedCopies(calls);
    expect(named).toHaveLength(SMALL + 2);
    expect(named.filter((copy) => !copy.isSettled)).toEqual([]);
  });
});

/** The copies in the workdir that got names, in a trace of the calls that do so, and that wait for data. */
function namedCopies(trace: string): { readonly name: string; readonly isSettled: boolean }[] {
  const settled = new Set<string>();
  const named: { name: string; isSettled: boolean }[] = [];
  for (const line of trace.split('\n')) {
    const waited = /(?:fdatasync\(|sync_file_range\()\d+<([^>]*)>(?:\)|.*WAIT_AFTER)/.exec(line)?.[1];
    if (waited !== undefined) settled.add(waited);
    const [, directory, copy, name] = /renameat2?\(\d+<([^>]*)>, "(#[^"]*)", [^,]*, "([^"]*)"/.exec(line) ?? [];
    if (name !== undefined) named.push({ name, isSettled: settled.has(`${directory ?? ''}/${copy ?? ''}`) });
  }
  return named;
}
