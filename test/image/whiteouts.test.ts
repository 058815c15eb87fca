import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';

import { isRoot, titled } from '../support/requirements.ts';
import { tar } from './archives.ts';
import { run, Target } from './ground.ts';

/** Mounts a filesystem that keeps no extended attributes. */
function mountWithoutXattrs(path: string): void {
  run('mount', '-t', 'ramfs', 'none', path);
  onTestFinished(() => void run('umount', path));
}

describe.skipIf(isRoot())(titled('unpackLayer where no xattrs can be kept', isRoot()), () => {
  test('marks a directory that is opaque, and was whited out, by one file', async () => {
    const lower = new Target();
    await lower.unpack(tar({ name: 'dir/', type: '5' }, { name: 'dir/below' }));
    const target = new Target();
    mountWithoutXattrs(target.path);
    const entries = [
      { name: '.wh.dir' },
      { name: 'dir/', type: '5' },
      { name: 'dir/.wh..wh..opq' },
      { name: 'dir/new' },
    ];
    await target.unpack(tar(...entries), [lower.path]);
    expect(readdirSync(join(target.path, 'dir')).sort()).toEqual(['.wh..wh..opq', 'new']);
  });
});
