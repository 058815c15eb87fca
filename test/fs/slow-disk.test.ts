import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Filesystem, missingFilesystem, mountFilesystem } from '../support/filesystems.ts';
import { Ground } from '../support/ground.ts';
import { LAMINA, type Mounted } from '../support/mounters.ts';
import { firstMissing, titled } from '../support/requirements.ts';

const EXT4: Filesystem = { kind: 'ext4', mebibytes: 64 };
const MIB = 1 << 20;
const BLKIO = '/sys/fs/cgroup/blkio';
const THROTTLE = 'blkio.throttle.read_bps_device';

const missing = firstMissing(
  LAMINA.missing,
  missingFilesystem(EXT4),
  existsSync(`${BLKIO}/${THROTTLE}`) ? undefined : 'needs the blkio controller of cgroup v1',
);

// A disk as slow as it is to be: the daemon's reads of it are throttled.
describe.skipIf(missing !== undefined)(titled('a layer on a slow disk', missing), () => {
  const cgroup = `${BLKIO}/lamina-slow-disk-${process.pid}`;
  let ground: Ground;
  let device: string;
  let mounted: Mounted;
  const at = (name: string): string => `${ground.directory}/${name}`;
  const script = (text: string): Promise<string> => ground.must(['sh', '-ec', text]);
  const throttle = (bytesPerSecond: number): void =>
    writeFileSync(`${cgroup}/${THROTTLE}`, `${device} ${bytesPerSecond}`);

  beforeAll(async () => {
    ground = await Ground.open('root');
    await mountFilesystem(ground, 'disk', EXT4);
    await script('mkdir -p disk/lower upper work merged; head -c 8M /dev/urandom >disk/lower/large; sync');
    device = (await script('findmnt -n -o MAJ:MIN disk')).trim();
    const layers = { lowers: ['disk/lower'], upper: 'upper', work: 'work', cwd: ground.directory };
    mounted = await LAMINA.mount(ground, layers, at('merged'));
    mkdirSync(cgroup);
    writeFileSync(`${cgroup}/cgroup.procs`, String(mounted.daemon?.pid));
  });
  afterAll(async () => {
    await ground.release();
    await mounted.unmount();
    await ground.close();
    rmdirSync(cgroup);
  });

  /** Nothing of the file is in memory. */
  const forget = (): Promise<string> =>
    script('for name in disk/lower/large merged/large; do dd if=$name iflag=nocache count=0 2>&1; done');

  test('keeps nobody waiting but who reads from it', async () => {
    await forget();
    throttle(MIB);
    const reader = ground.run(['cat', at('merged/large')]).then(() => 'read');
    await script('until [ -n "$(pgrep -f "^cat .*merged/large")" ]; do :; done');
    // Each name that is not there is a request.
    const others = script('for i in $(seq 400); do [ ! -e merged/nothing-$i ]; done').then(() => 'looked up');
    expect(await Promise.race([reader, others])).toBe('looked up');
    throttle(0);
    await reader;
    await others;
  });

  test('is read as it is', async () => {
    await forget();
    throttle(16 * MIB);
    const digest = await script('sha256sum <merged/large');
    throttle(0);
    expect(digest).toBe(await script('sha256sum <disk/lower/large'));
  });
});
