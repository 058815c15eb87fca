import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { CHANGE, NO_HANDLE, ROOT_NODE } from '../../fs/filesystem.ts';
import { COUNTER, COUNTERS } from '../../fs/overlay/options.ts';
import { Driver, ROOT, isWhiteout, put, xattr } from './driver.ts';
import { deep, ground, isRoot, low, mount, union, use } from './setup.ts';

describe.skipIf(!isRoot)('union of two lower layers and an upper (needs root)', () => {
  test('lookup takes the topmost layer', () => {
    put(low, 'd/f', 'low');
    put(deep, 'd/f', 'deep');
    put(deep, 'd/g', 'g');
    mount();
    expect(union.read('d/f')).toBe('low');
    expect(union.read('d/g')).toBe('g');
    expect(union.list('d')).toEqual(['f', 'g']);
  });

  test('lookup answers a negative entry without asking the layers twice', () => {
    put(low, 'd/f', '');
    const counters = new Float64Array(COUNTERS);
    mount({ counters });
    expect(() => union.node('d/none')).toThrow('ENOENT');
    const misses = counters[COUNTER.cacheMisses];
    expect(() => union.node('d/other')).toThrow('ENOENT');
    expect(counters[COUNTER.cacheMisses]).toBe(misses);
    expect(counters[COUNTER.cacheHits]).toBeGreaterThan(0);
  });

  test.each(['device', 'dot', 'xattr'])('lookup honours a %s whiteout of a middle layer', (form) => {
    put(deep, 'd/f', 'deep');
    mkdirSync(join(low, 'd'));
    if (form === 'device') execFileSync('mknod', [join(low, 'd/f'), 'c', '0', '0']);
    if (form === 'dot') writeFileSync(join(low, 'd/.wh.f'), '');
    if (form === 'xattr') {
      writeFileSync(join(low, 'd/f'), '');
      execFileSync('setfattr', ['-n', 'trusted.overlay.whiteout', '-v', 'y', join(low, 'd/f')]);
      execFileSync('setfattr', ['-n', 'trusted.overlay.opaque', '-v', 'x', join(low, 'd')]);
    }
    mount();
    expect(() => union.node('d/f')).toThrow('ENOENT');
    expect(union.list('d')).toEqual([]);
  });

  test.each(['trusted.overlay.opaque', 'user.overlay.opaque', 'user.fuseoverlayfs.opaque', '.wh..wh..opq'])(
    'lookup stops at a directory made opaque by %s',
    (mark) => {
      put(deep, 'd/hidden', '');
      put(low, 'd/shown', '');
      if (mark.startsWith('.wh.')) writeFileSync(join(low, 'd', mark), '');
      else execFileSync('setfattr', ['-n', mark, '-v', 'y', join(low, 'd')]);
      mount();
      expect(union.list('d')).toEqual(['shown']);
    },
  );

  test('lookup stops at a file above a directory', () => {
    put(deep, 'x/inner', '');
    put(low, 'x', 'file');
    mount();
    expect(union.read('x')).toBe('file');
    expect(() => union.node('x/inner')).toThrow('ENOTDIR');
  });

  test('a directory above a file does not merge with what is below the file', () => {
    const bottom = ground.directory('bottom');
    put(bottom, 'x/old', '');
    put(deep, 'x', 'file');
    put(low, 'x/new', '');
    use(ground.overlay([low, deep, bottom]));
    expect(union.list('x')).toEqual(['new']);
  });

  test('write copies up and leaves the lower file as it was', () => {
    put(low, 'd/f', 'before');
    chmodSync(join(low, 'd/f'), 0o4751);
    mount();
    union.write('d/f', 'after', 1);
    expect(union.read('d/f')).toBe('aftere');
    expect(readFileSync(join(low, 'd/f'), 'utf8')).toBe('before');
    expect(readFileSync(join(ground.upper, 'd/f'), 'utf8')).toBe('aftere');
  });

  test('chmod copies up owner, times and xattrs', () => {
    put(low, 'd/f', 'data');
    execFileSync('setfattr', ['-n', 'user.note', '-v', 'kept', join(low, 'd/f')]);
    execFileSync('touch', ['-d', '1969-12-31T23:59:59.123456789Z', join(low, 'd/f')]);
    execFileSync('chown', ['123:456', join(low, 'd/f')]);
    mount();
    union.change('d/f', { valid: CHANGE.mode, mode: 0o4711 });
    const stat = lstatSync(join(ground.upper, 'd/f'), { bigint: true });
    expect([stat.uid, stat.gid, stat.mode & 0o7777n]).toEqual([123n, 456n, 0o4711n]);
    expect(stat.mtimeNs).toBe(-876543211n);
    expect(xattr(join(ground.upper, 'd/f'), 'user.note')).toBe('kept');
  });

  test('copy-up keeps holes', () => {
    execFileSync('truncate', ['-s', '8M', join(low, 'sparse')]);
    execFileSync('dd', ['if=/dev/urandom', `of=${low}/sparse`, 'bs=4k', 'seek=512', 'count=1', 'conv=notrunc'], {
      stdio: 'ignore',
    });
    mount();
    union.change('sparse', { valid: CHANGE.mode, mode: 0o600 });
    const copy = statSync(join(ground.upper, 'sparse'));
    expect(copy.size).toBe(8 << 20);
    expect(copy.blocks).toBeLessThan(64);
    expect(readFileSync(join(ground.upper, 'sparse')).equals(readFileSync(join(low, 'sparse')))).toBe(true);
  });

  test('copy-up of a directory leaves no trace in the parent’s times', () => {
    put(low, 'a/b/f', '');
    mount();
    const before = union.stat('a').mtimeNsec;
    union.create('a/b/new');
    expect(union.stat('a').mtimeNsec).toBe(before);
  });

  test('an open file sees what is written after its copy-up', () => {
    put(low, 'f', 'old');
    mount();
    const node = union.node('f');
    expect(union.filesystem.open(node, 0, union.opened)).toBe(0);
    const { handle } = union.opened;
    union.write('f', 'new', 1);
    expect(union.readHandle(node, handle)).toBe('new');
    union.filesystem.release(node, handle);
  });

  test('unlink of a lower file writes a whiteout', () => {
    put(low, 'd/f', '');
    mount();
    union.unlink('d/f');
    expect(() => union.node('d/f')).toThrow('ENOENT');
    expect(isWhiteout(join(ground.upper, 'd/f'))).toBe(true);
    union.create('d/f', 'again');
    expect(union.read('d/f')).toBe('again');
    union.unlink('d/f');
    expect(isWhiteout(join(ground.upper, 'd/f'))).toBe(true);
  });

  test('unlink of an upper file with nothing below leaves nothing', () => {
    put(low, 'd/other', '');
    mount();
    union.create('d/f', 'x');
    union.unlink('d/f');
    expect(readdirSync(join(ground.upper, 'd'))).toEqual([]);
  });

  test('an unlinked open file stays readable, with a link count of 0', () => {
    put(low, 'f', 'still here');
    mount();
    union.write('f', 'now upper', 0o1001);
    const node = union.node('f');
    union.filesystem.open(node, 2, union.opened);
    const { handle } = union.opened;
    union.unlink('f');
    expect(union.readHandle(node, handle)).toBe('now upper');
    union.filesystem.getattr(node, handle, union.attr);
    expect(union.attr.nlink).toBe(0);
    union.filesystem.getattr(node, NO_HANDLE, union.attr);
    expect(union.attr.nlink).toBe(0);
    union.filesystem.release(node, handle);
  });

  test('rmdir of a merged directory needs it empty, then hides it', () => {
    put(low, 'd/f', '');
    put(deep, 'd/g', '');
    mount();
    expect(() => union.rmdir('d')).toThrow('ENOTEMPTY');
    union.unlink('d/f');
    union.unlink('d/g');
    union.rmdir('d');
    expect(isWhiteout(join(ground.upper, 'd'))).toBe(true);
    expect(readdirSync(join(ground.work, 'work'))).toEqual([]);
    union.mkdir('d');
    expect(union.list('d')).toEqual([]);
    expect(xattr(join(ground.upper, 'd'), 'trusted.overlay.opaque')).toBe('y');
  });

  test('a directory made over a whiteout stays empty after a remount', () => {
    put(low, 'd/f', '');
    mount();
    union.unlink('d/f');
    union.rmdir('d');
    union.mkdir('d');
    union.close();
    mount();
    expect(union.list('d')).toEqual([]);
  });

  test('new files belong to the caller, with the umask applied', () => {
    mount();
    union.create('f', '', { uid: 1000, gid: 1001, pid: 1, umask: 0o027 }, 0o666);
    const stat = lstatSync(join(ground.upper, 'f'));
    expect([stat.uid, stat.gid, stat.mode & 0o7777]).toEqual([1000, 1001, 0o640]);
  });

  test('a setgid directory passes on its group, also over a whiteout', () => {
    put(low, 'd/f', '');
    execFileSync('chgrp', ['77', join(low, 'd')]);
    chmodSync(join(low, 'd'), 0o2777);
    mount();
    const caller = { uid: 1000, gid: 1000, pid: 1, umask: 0o022 };
    union.mkdir('d/sub', caller);
    union.unlink('d/f');
    union.create('d/f', '', caller);
    const [sub, file] = [lstatSync(join(ground.upper, 'd/sub')), lstatSync(join(ground.upper, 'd/f'))];
    expect([sub.uid, sub.gid, sub.mode & 0o7777]).toEqual([1000, 77, 0o2755]);
    expect([file.uid, file.gid]).toEqual([1000, 77]);
  });

  test('a default ACL is inherited over a whiteout', () => {
    put(low, 'd/f', '');
    execFileSync('setfacl', ['-d', '-m', 'u:42:rwx', join(low, 'd')]);
    mount();
    union.unlink('d/f');
    union.create('d/f', '');
    const acl = execFileSync('getfacl', ['-n', join(ground.upper, 'd/f')], { encoding: 'utf8' });
    expect(acl).toContain('user:42:rwx');
  });

  test("a setgid workdir's group is not inherited by what is made in it", () => {
    put(low, 'f', '');
    mkdirSync(join(low, 'd'));
    execFileSync('chgrp', ['77', ground.work]);
    chmodSync(ground.work, 0o2755);
    mount();
    for (const name of ['f', 'd']) union.change(name, { valid: CHANGE.mode, mode: 0o700 });
    union.create('new', '');
    for (const name of ['f', 'd', 'new']) expect([name, lstatSync(join(ground.upper, name)).gid]).toEqual([name, 0]);
    expect(lstatSync(join(ground.upper, 'd')).mode & 0o7777).toBe(0o700);
  });

  test('an ACL of the workdir is not inherited by what is made in it', () => {
    put(low, 'f', '');
    put(low, 'g', '');
    execFileSync('setfacl', ['-d', '-m', 'u:42:rwx', ground.work]);
    mount();
    union.write('f', 'copied up');
    union.unlink('g');
    union.create('g', '');
    const acls = execFileSync('getfacl', ['-n', join(ground.upper, 'f'), join(ground.upper, 'g')], {
      encoding: 'utf8',
    });
    expect(acls).not.toContain('user:42');
  });

  test('users can make no whiteout and see or set no overlay xattr', () => {
    put(low, 'f', '');
    mount();
    const { filesystem, entry, memory } = union;
    expect(filesystem.mknod(ROOT, ROOT_NODE, 'w', 0o020000, 0, entry)).toBe(-1);
    expect(filesystem.mkdir(ROOT, ROOT_NODE, '.wh..wh.d', 0o755, entry)).toBe(-22);
    expect(filesystem.setxattr(union.node('f'), 'trusted.overlay.opaque', memory.address, 1, 0)).toBe(-1);
    expect(filesystem.getxattr(union.node('f'), 'trusted.overlay.opaque', memory.address, 10)).toBe(-61);
  });

  test('a hostile symlink in a layer is not followed', () => {
    execFileSync('ln', ['-s', '/etc', join(low, 'd')]);
    put(deep, 'd/passwd', 'mine');
    mount();
    expect(union.stat('d').mode & 0o170000).toBe(0o120000);
    expect(() => union.node('d/passwd')).toThrow('ENOTDIR');
  });

  test('500 layers are one tree', () => {
    const layers = Array.from({ length: 500 }, (_, at) => ground.directory(`l${at}`));
    layers.forEach((layer, at) => put(layer, `d/f${at}`, String(at)));
    use(ground.overlay(layers));
    expect(union.list('d')).toHaveLength(500);
    expect(union.read('d/f499')).toBe('499');
  });

  test('a directory too large for the cache is listed and looked up', () => {
    for (let at = 0; at < 100; at++) put(low, `d/f${at}`, '');
    writeFileSync(join(low, 'd/.wh.gone'), '');
    put(deep, 'd/gone', '');
    mount({ cacheEntries: 64 });
    expect(union.list('d')).toHaveLength(100);
    expect(() => union.node('d/gone')).toThrow('ENOENT');
    union.unlink('d/f5');
    union.create('d/f5', 'new');
    expect(union.read('d/f5')).toBe('new');
    expect(union.list('d')).toHaveLength(100);
  });

  test('inodes go when the kernel forgets them', () => {
    put(low, 'a/b/c', '');
    const counters = new Float64Array(COUNTERS);
    mount({ counters });
    const nodes = [union.node('a'), union.node('a/b'), union.node('a/b/c')];
    for (const node of nodes) union.filesystem.forget(node, 10);
    expect(counters[COUNTER.inodes]).toBe(1);
  });

  test('a read-only union refuses every change with EROFS', () => {
    put(low, 'd/f', 'x');
    use(new Driver({ lowers: [low, deep] }));
    expect(() => union.create('d/g')).toThrow('EROFS');
    expect(() => union.write('d/f', '')).toThrow('EROFS');
    expect(() => union.unlink('d/f')).toThrow('EROFS');
    expect(() => union.mkdir('e')).toThrow('EROFS');
    expect(() => union.rename('d/f', 'd/g')).toThrow('EROFS');
    expect(() => union.change('d/f', { valid: CHANGE.mode, mode: 0 })).toThrow('EROFS');
    expect(union.read('d/f')).toBe('x');
  });

  test('O_TMPFILE is linked into a name', () => {
    mount();
    const { filesystem, entry, opened } = union;
    expect(filesystem.tmpfile(ROOT, ROOT_NODE, 0o644, 2, entry, opened)).toBe(0);
    const { node } = entry;
    union.writeHandle(node, opened.handle, 0, 'nameless');
    expect(filesystem.link(node, ROOT_NODE, 'named', entry)).toBe(0);
    filesystem.release(node, opened.handle);
    expect(union.read('named')).toBe('nameless');
    expect(union.stat('named').nlink).toBe(1);
  });

  test('createOverlay clears what a crash left in the workdir', () => {
    put(ground.work, 'work/#1/left', 'over');
    mount();
    expect(readdirSync(join(ground.work, 'work'))).toEqual([]);
  });

  test('createOverlay refuses a workdir in use', { timeout: 20_000 }, () => {
    mount();
    expect(() => ground.overlay([low])).toThrow(/another mount is using it/);
  });

  test('createOverlay refuses an upper in use with another workdir', { timeout: 20_000 }, () => {
    mount();
    const work = ground.directory('w2');
    expect(() => ground.overlay([low], { work })).toThrow(/cannot use upperdir .*: another mount is using it/);
    union.close();
    use(ground.overlay([low], { work }));
    expect(union.list('')).toEqual([]);
  });

  test('createOverlay refuses an upper with a feature that it does not know', () => {
    mount();
    union.close();
    ground.directory('work/work/incompat/future');
    expect(() => mount()).toThrow(/had the feature future .*not known here/);
    rmSync(join(ground.work, 'work/incompat/future'), { recursive: true });
    mount();
    expect(readdirSync(join(ground.work, 'work'))).toEqual([]);
  });

  test('createOverlay refuses an upper whose last mount was volatile', () => {
    mount({ volatile: true });
    union.close();
    expect(() => mount()).toThrow(/volatile/);
    expect(existsSync(join(ground.work, 'work/incompat/volatile'))).toBe(true);
    use(ground.overlay([low], { upper: ground.directory('u2'), work: ground.directory('w2') }));
  });

  test('createOverlay refuses layers that lie in each other', () => {
    mount();
    const inside = ground.directory('upper/inside');
    const [upper, work] = [ground.directory('u3'), ground.directory('w3')];
    expect(() => ground.overlay([low], { upper, work: upper })).toThrow(/neither may lie in the other/);
    expect(() => ground.overlay([low], { work: inside })).toThrow(/neither may lie in the other/);
    expect(() => ground.overlay([low], { upper: ground.directory('w3/u'), work })).toThrow(/neither may lie/);
    expect(() => ground.overlay([low, upper], { upper, work })).toThrow(/lowerdir .* is or lies in upperdir/);
    expect(() => ground.overlay([inside], { work })).toThrow(/lowerdir .* is or lies in upperdir/);
    expect(() => ground.overlay([low, deep, low], { upper, work })).toThrow(/lowerdir .* is or lies in lowerdir/);
    const within = ground.directory('low/within');
    for (const lowers of [
      [low, within],
      [within, deep, low],
    ]) {
      expect(() => ground.overlay(lowers, { upper, work })).toThrow(
        /lowerdir .*within: it is or lies in lowerdir .*low;/,
      );
    }
    expect(() => ground.overlay([low], { dataOnly: [within], upper, work })).toThrow(/is or lies in lowerdir/);
    expect(readdirSync(upper)).toEqual([]);
  });

  test('createOverlay names a missing layer', () => {
    mount();
    expect(() => ground.overlay(['/nonexistent/layer'])).toThrow(
      'cannot open lowerdir /nonexistent/layer: no such file or directory (ENOENT)',
    );
  });

  test('squash and mapping change what stat shows and what create stores', () => {
    put(low, 'f', '');
    mount({ uidMapping: [{ host: 0, to: 100_000, length: 10 }] });
    expect(union.stat('f').uid).toBe(100_000);
    union.create('g', '', { uid: 100_005, gid: 0, pid: 1, umask: 0 });
    expect(lstatSync(join(ground.upper, 'g')).uid).toBe(5);
  });

  test('dot whiteouts are written where asked for', () => {
    put(low, 'd/f', '');
    put(low, 'e/f', '');
    mount({ dotWhiteouts: true });
    union.unlink('d/f');
    expect(readdirSync(join(ground.upper, 'd'))).toEqual(['.wh.f']);
    union.create('d/f', 'again');
    expect(readdirSync(join(ground.upper, 'd'))).toEqual(['f']);
    union.unlink('e/f');
    union.rmdir('e');
    union.mkdir('e');
    union.close();
    mount({ dotWhiteouts: true });
    expect(union.list('e')).toEqual([]);
    expect(union.read('d/f')).toBe('again');
  });

  test('setxattr and getxattr go to the upper', () => {
    put(low, 'f', '');
    mount();
    const { filesystem, memory } = union;
    memory.bytes.write('value');
    expect(filesystem.setxattr(union.node('f'), 'user.a', memory.address, 5, 0)).toBe(0);
    expect(xattr(join(ground.upper, 'f'), 'user.a')).toBe('value');
    expect(filesystem.listxattr(union.node('f'), memory.address, 100, true)).toBe(7);
    expect(filesystem.removexattr(union.node('f'), 'user.a')).toBe(0);
    expect(filesystem.listxattr(union.node('f'), memory.address, 100, true)).toBe(0);
  });
});
