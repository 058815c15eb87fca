import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Filesystem, missingFilesystem, mountFilesystem } from '../support/filesystems.ts';
import { Ground } from '../support/ground.ts';
import { LAMINA } from '../support/mounters.ts';
import { firstMissing, titled } from '../support/requirements.ts';

const EXT4: Filesystem = { kind: 'ext4', mebibytes: 64, make: ['-m', '0', '-O', 'has_journal'] };
const SMALL = 100;

const missing = firstMissing(LAMINA.missing, missingFilesystem(EXT4));

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
    await script(`for i in $(seq ${SMALL}); do head -c 5000 /dev/urandom >lower/$i; done`);
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
});
