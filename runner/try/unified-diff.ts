import { spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { type ByteString, toBytes, toText } from '../../fs/sys/bytes.ts';
import { changesOf } from '../container/changes.ts';
import { type Container } from '../container/container.ts';
import { findProgram } from '../container/program.ts';
import { describeFile, type OwnerRecords } from '../image/layer-file.ts';
import { Warnings } from '../image/warnings.ts';

const LARGEST = 1 << 26;

/** What diff(1) says of the regular files that a try has changed, file by file. */
export function* unifiedDiffs(container: Container, root: string): Generator<Buffer, void, undefined> {
  const diff = findProgram('diff', 'diffutils');
  const { upper, work, lowers } = container;
  for (const change of changesOf({ upper: toBytes(upper), work: toBytes(work), lowers })) {
    const before = join(root, toText(change.path));
    if (change.kind === 'D') {
      yield diffOf(diff, before, '/dev/null', change.path);
      continue;
    }
    const { source, data = source } = change;
    if (!isRegular(source.dirfd, source.name, source.records, change.path)) continue;
    const after = `/proc/${process.pid}/fd/${data.dirfd}/${data.name}`;
    yield diffOf(diff, change.kind === 'A' ? '/dev/null' : before, after, change.path);
  }
}

function isRegular(dirfd: number, name: ByteString, records: OwnerRecords, path: ByteString): boolean {
  return describeFile(dirfd, name, records, path, new Warnings()).type === 'file';
}

/** Nothing where they are the same, or one is no file. */
function diffOf(program: string, before: string, after: string, path: ByteString): Buffer {
  const labels = ['a', 'b'].flatMap((side) => ['--label', `${side}/${toText(path)}`]);
  const { stdout } = spawnSync(program, ['-u', ...labels, '--', before, after], { maxBuffer: LARGEST });
  return stdout;
}
