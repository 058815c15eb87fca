import { existsSync, mkdirSync, rmdirSync, writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Filesystem, missingFilesystem, mountFilesystem } from '../support/filesystems.ts';
import { Ground } from '../support/ground.ts';
import { LAMINA, type Mounted } from '../support/mounters.ts';
import { firstMissing, titled } from '../support/requirements.ts';

const EXT4: Filesystem = { kind: 'ext4', mebibytes: 64 };
const MIB = 1 << 20;
const BLKIO = '/sys/fs/cgroup/blkio';
const READS = 'blkio.throttle.read_bps_device';
const WRITES = 'blkio.throttle.write_bps_device';

const missing = firstMissing(
  LAMINA.missing,
  missingFilesystem(EXT4),
  existsSync(`${BLKIO}/${READS}`) ? undefined : 'needs the blkio controller of cgroup v1',
);

// A disk as slow as it is to be: the daemon's reads of it are throttled.
describe.skipIf(missing !== undefined)(titled('a union on a slow disk', missing), () => {
  const cgroup = `${BLKIO}/lamina-slow-disk-${process.pid}`;
  let ground: Ground;
  let device: string;
  let mounted: Mounted;
  const at = (name: string): string => `${ground.directory}/${name}`;
  const script = (text: string): Promise<string> => ground.must(['sh', '-ec', text]);
  const throttle = (bytesPerSecond: number, what = READS): void =>
    writeFileSync(`${cgroup}/${what}`, `${device} ${bytesPerSecond}`);

  beforeAll(async () => {
    ground = await Ground.open('root');
    await mountFilesystem(ground, 'disk', EXT4);
    await script(
      'mkdir -p disk/lower disk/upper disk/work merged; head -c 8M /dev/urandom >disk/lower/large; split -n 128 disk/lower/large disk/lower/part-; sync',
    );
    device = (await script('findmnt -n -o MAJ:MIN disk')).trim();
    const layers = { lowers: ['disk/lower'], upper: 'disk/upper', work: 'disk/work', cwd: ground.directory };
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

  /** Looks up many names that are not there, each of which is a request. */
  const lookUp = (prefix: string): Promise<string> =>
    script(`for i in $(seq 3000); do [ ! -e merged/${prefix}-$i ]; done`).then(() => 'looked up');

  test('keeps nobody waiting but who reads from it', async () => {
    await forget();
    throttle(MIB);
    const reader = ground.run(['cat', at('merged/large')]).then(() => 'read');
    await script('until [ -n "$(pgrep -f "^cat .*merged/large")" ]; do :; done');
    const others = lookUp('nothing');
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

  test('keeps nobody waiting but who changes its files', async () => {
    throttle(MIB, WRITES);
    // 64 KiB each, which are copied up to be opened for writing.
    const changes = script('cd merged; for file in part-*; do : >>$file; done').then(() => 'changed');
    await script('until [ -n "$(find disk/upper -name "part-*")" ]; do :; done');
    const others = lookUp('none');
    expect(await Promise.race([changes, others])).toBe('looked up');
    throttle(0, WRITES);
    await changes;
    await others;
    expect(await script('cd disk; for file in lower/part-*; do cmp $file upper/${file#lower/}; done')).toBe('');
  });
});
