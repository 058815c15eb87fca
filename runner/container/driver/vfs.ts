import { mkdirSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type ByteString, toBytes } from '../../../fs/index.ts';
import { isOpaque, OPAQUE_XATTRS } from '../../../fs/layer-format.ts';
import {
  AT_FDCWD,
  MS_BIND,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_RDONLY,
  RENAME_EXCHANGE,
} from '../../../fs/sys/constants.ts';
import { check, SystemError } from '../../../fs/sys/errno.ts';
import { close, openat, renameat2, syncfs } from '../../../fs/sys/file.ts';
import { mount } from '../../../fs/sys/mount.ts';
import { SELF, setxattrText } from '../../../fs/sys/xattr.ts';
import { NO_LIMITS } from '../../image/limits.ts';
import { removeIn } from '../../image/scratch.ts';
import { unpackLayer } from '../../image/unpack.ts';
import { Warnings } from '../../image/warnings.ts';
import { type Container } from '../container.ts';
import { packRange } from '../pack-range.ts';

// Without a union of any kind: while the container runs, its upper is a copy of all that it sees, and hides the layers
// below. Afterwards it is made an upper again (see `slim.ts`), so that `diff`, `commit`, `export` and `cp` find what
// they find of every container.

const OPEN = O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;

/** Whether the upper is a copy of all: while the container runs, or where its supervisor was killed. */
export function isWhole({ upper }: Container): boolean {
  const fd = check(openat(AT_FDCWD, toBytes(upper), OPEN), `open ${upper}`);
  try {
    return isOpaque(fd);
  } finally {
    close(fd);
  }
}

/** Makes the upper a copy of all that the container sees, and puts it where its root is to be. */
export async function mountCopy(container: Container): Promise<void> {
  const { upper, merged } = container;
  if (!isWhole(container)) await makeWhole(container);
  check(mount(toBytes(upper), toBytes(merged), '', MS_BIND), `bind ${upper} to ${merged}`);
}

/** The copy is made aside; that it takes the upper's place is the commit point. */
async function makeWhole(container: Container): Promise<void> {
  const { directory, upper, lowers } = container;
  const aside = join(directory, 'whole');
  removeIn(directory, basename(aside));
  mkdirSync(aside, { mode: 0o755 });
  const fd = check(openat(AT_FDCWD, toBytes(aside), OPEN), `open ${aside}`);
  try {
    const warnings = new Warnings();
    const archive = packRange([toBytes(upper), ...lowers], [], { warnings });
    await unpackLayer(archive, { directory: fd, limits: NO_LIMITS, warnings, lowers: [] });
    markOpaque(fd);
    // Neither is to be found half written after a power failure.
    check(syncfs(fd), `sync ${aside}`);
  } finally {
    close(fd);
  }
  exchange(aside, upper);
  removeIn(dirname(aside), basename(aside));
}

function exchange(one: string, other: string): void {
  const exchanged = renameat2(AT_FDCWD, toBytes(one), AT_FDCWD, toBytes(other), RENAME_EXCHANGE);
  check(exchanged, `put the copy of the image in place of ${other}`);
}

function markOpaque(fd: number): void {
  let refused = 0;
  for (const name of OPAQUE_XATTRS) {
    refused = setxattrText(fd, SELF, name, OPAQUE);
    if (refused === 0) return;
  }
  throw new SystemError("mark the copy of the container's image", refused);
}

const OPAQUE: ByteString = 'y';
