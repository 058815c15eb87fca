import { linkSync, mkdirSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { DIST } from '../support/paths.ts';
import { firstMissing, has, hasKernelOverlay, hasPassthrough, titled } from '../support/requirements.ts';
import { cannotMount, Playground } from './playground.ts';

const FUSE_LAMINA = join(DIST, 'cli/fuse-lamina');
const SIZE = 4 << 20;
const missing = firstMissing(cannotMount, hasPassthrough(), hasKernelOverlay(), has('fincore'), has('python3'));

interface Stats {
  readonly requests: Readonly<Record<string, number>>;
  readonly overlay: { readonly passthroughOpens: number; readonly contentsGiven: number };
}

describe.skipIf(missing !== undefined)(titled('passthrough', missing), () => {
  let ground: Playground;
  beforeEach(() => void (ground = new Playground()));
  afterEach(() => ground.clear());

  function mount(options: string, at = 'm'): void {
    const { code, stderr } = ground.fuseLamina('-o', options, at);
    expect([code, stderr]).toEqual([0, '']);
  }
  const stats = (at = 'm'): Stats => JSON.parse(ground.lamina('stats', '--json', at).stdout) as Stats;
  const counted = (name: string, at = 'm'): number => stats(at).requests[name] ?? 0;
  /** Small files whose content came with the open, if it was in memory, or was asked for. */
  const read = (): number => counted('READ') + stats().overlay.contentsGiven;
  const run = (...command: readonly string[]): string => {
    const { code, stdout, stderr } = ground.run(command);
    expect([code, stderr]).toEqual([0, '']);
    return stdout.trim();
  };
  /** Bytes of a file that are in the page cache by way of `path`. */
  const resident = (path: string): number => Number(run('fincore', '--bytes', '--noheadings', '--output', 'RES', path));
  const python = (script: string): string => run('python3', '-c', `import os, mmap\n${script}`);
  /** The kernel leaves pages that another processor has just put on its list: asked again, it takes them, too. */
  const uncache = (path: string): void => {
    for (let tries = 0; tries === 0 || (tries < 20 && resident(path) > 0); tries++)
      python(`f = os.open('${path}', os.O_RDWR); os.fsync(f); os.posix_fadvise(f, 0, 0, os.POSIX_FADV_DONTNEED)`);
  };

  const WRITABLE = 'lowerdir=A:B,upperdir=U,workdir=W';
  const WORK = `
f = open('m/new', 'w+b')
f.write(b'x' * ${SIZE})
f.flush()
m = mmap.mmap(f.fileno(), ${SIZE})
m[7:13] = b'stored'
m.close()
f.seek(0)
print(f.read(20).decode())
f.close()
g = open('m/new', 'rb')
print(len(g.read()))`;

  test('a file in the upper is read, written and mapped without a request', () => {
    mount(WRITABLE);
    expect(python(WORK)).toBe(`xxxxxxxstoredxxxxxxx\n${SIZE}`);
    const { requests, overlay } = stats();
    expect([requests['READ'], requests['WRITE'], requests['OPEN']]).toEqual([undefined, undefined, 1]);
    expect(overlay.passthroughOpens).toBe(2);
  });

  test('attributes of a file that may change without a request are asked for until nobody can change it', () => {
    mount(WRITABLE);
    const asked = (): number => counted('GETATTR');
    const stat = (): void => void statSync(ground.at('m/made'));
    const [made, held, mapped] = python(`
import json, subprocess
asked = lambda: json.loads(subprocess.check_output(['${process.execPath}', '${join(DIST, 'cli/lamina.js')}', 'stats', '--json', 'm']))['requests'].get('GETATTR', 0)
def count(work):
    before = asked()
    work()
    return asked() - before
f = os.open('m/made', os.O_RDWR | os.O_CREAT)
def stat(): [os.fstat(f) for _ in range(3)]
print(count(stat))
os.truncate(f, 4096)
print(count(stat))
m = mmap.mmap(f, 4096)
os.close(f)
def stat(): [os.stat('m/made') for _ in range(3)]
stat()
print(count(stat))`)
      .split('\n')
      .map(Number);
    expect([made, held, mapped]).toEqual([0, 3, 3]);
    stat();
    const settled = asked();
    stat();
    stat();
    expect(asked()).toBe(settled);
  });

  test('passthrough=off leaves reads and writes to requests', () => {
    mount(`${WRITABLE},passthrough=off`);
    expect(python(WORK)).toBe(`xxxxxxxstoredxxxxxxx\n${SIZE}`);
    expect(counted('WRITE')).toBeGreaterThan(0);
    expect(stats().overlay.passthroughOpens).toBe(0);
  });

  test('a lower file is in the page cache once for all mounts without an upper', () => {
    writeFileSync(ground.at('B/large'), Buffer.alloc(SIZE, 'l'));
    uncache('B/large');
    mount('lowerdir=A:B', 'm');
    mount('lowerdir=B:A', 'm2');
    expect(resident('B/large')).toBe(0);
    for (const path of ['m/large', 'm2/large']) expect(readFileSync(ground.at(path))).toHaveLength(SIZE);
    expect([counted('READ', 'm'), counted('READ', 'm2')]).toEqual([0, 0]);
    const [once = 0, ...again] = ['B/large', 'm/large', 'm2/large'].map(resident);
    // The kernel may take a page back at any time.
    expect(once).toBeGreaterThan(0.9 * SIZE);
    expect(again).toEqual([once, once]);
    uncache('B/large');
    expect(['B/large', 'm/large', 'm2/large'].map(resident)).toEqual([0, 0, 0]);
  });

  test('a lower file that a write may move to the upper is left to the page cache', () => {
    mount(WRITABLE);
    expect(readFileSync(ground.at('m/bottom'), 'utf8')).toBe('bottom');
    expect([read(), stats().overlay.passthroughOpens]).toEqual([1, 0]);
    writeFileSync(ground.at('m/bottom'), 'in the upper');
    expect(readFileSync(ground.at('m/bottom'), 'utf8')).toBe('in the upper');
    expect([read(), stats().overlay.passthroughOpens]).toEqual([1, 2]);
  });

  test('the content of a small lower file comes with its first open, and that of others is asked for', () => {
    const sizes = [1, 4095, 4096, 10_000, 32_768];
    for (const size of [...sizes, 32_769, 7]) writeFileSync(ground.at(`B/${size}`), Buffer.alloc(size, 'c'));
    mount(WRITABLE);
    const contents = (): number[] => sizes.map((size) => readFileSync(ground.at(`m/${size}`)).lastIndexOf('c') + 1);
    expect(contents()).toEqual(sizes);
    const given = stats().overlay.contentsGiven;
    expect(given).toBeGreaterThan(0);
    // One that went from the page cache meanwhile is asked for.
    expect(counted('READ') > 0).toBe(given < sizes.length);
    expect(contents()).toEqual(sizes);
    expect(readFileSync(ground.at('m/32769'))).toHaveLength(32_769);
    const tail = `
import ctypes
map = ctypes.CDLL(None).mmap
map.restype, map.argtypes = ctypes.c_void_p, [ctypes.c_void_p, ctypes.c_size_t] + [ctypes.c_int] * 3 + [ctypes.c_long]
print(set(ctypes.string_at(map(None, 10000, 1, 1, os.open('m/10000', os.O_RDONLY), 0) + 10000, 12288 - 10000)))`;
    expect(python(tail)).toBe('{0}');
    const before = stats().overlay.contentsGiven;
    // Whoever has it open may be waiting for what he reads.
    expect(python(`held = os.open('m/7', os.O_RDONLY | os.O_DIRECT)\nprint(open('m/7').read())`)).toBe('ccccccc');
    expect(stats().overlay.contentsGiven).toBe(before);
  });

  test('the content of a small file comes with its first open from a tmpfs, too', () => {
    run('mount', '-t', 'tmpfs', 'tmpfs', ground.at('A'));
    writeFileSync(ground.at('A/file'), 'content');
    mount(WRITABLE);
    expect(readFileSync(ground.at('m/file'), 'utf8')).toBe('content');
    expect([counted('READ'), stats().overlay.contentsGiven]).toEqual([0, 1]);
  });

  test('programs of a lower layer are read by the kernel, and with passthrough=all every file of one', () => {
    const program = Buffer.concat([Buffer.from('\x7fELF'), Buffer.alloc(SIZE, 'p')]);
    writeFileSync(ground.at('B/program'), program);
    writeFileSync(ground.at('B/short'), program.subarray(0, 4095));
    mount(WRITABLE);
    expect(readFileSync(ground.at('m/program')).equals(program)).toBe(true);
    expect([counted('READ'), stats().overlay.passthroughOpens]).toEqual([0, 1]);
    // What fits a page has none to share.
    expect(readFileSync(ground.at('m/short'))).toHaveLength(4095);
    expect([read(), stats().overlay.passthroughOpens]).toEqual([1, 1]);
    mount('lowerdir=A:B,upperdir=U2,workdir=W2,passthrough=all', 'm2');
    expect(readFileSync(ground.at('m2/bottom'), 'utf8')).toBe('bottom');
    expect(counted('READ', 'm2')).toBe(0);
    ground.lamina('umount', 'm2');
    mount('lowerdir=A:B,upperdir=U2,workdir=W2,passthrough=upper', 'm2');
    expect(readFileSync(ground.at('m2/program')).equals(program)).toBe(true);
    expect([counted('READ', 'm2') > 0, stats('m2').overlay.passthroughOpens]).toEqual([true, 0]);
  });

  test('a lower file that is open as the kernel reads it, and then copied up, is the new file to all who open it after', () => {
    const names = ['written', 'cut', 'linked', 'changed'];
    for (const name of names) writeFileSync(ground.at(`B/${name}`), `\x7fELF ${name}`);
    linkSync(ground.at('B/linked'), ground.at('B/other'));
    mount(`${WRITABLE},passthrough=all`);
    const script = `
def new(name): return open('m/' + name, 'rb').read()[5:].decode()
old = {name: os.open('m/' + name, os.O_RDONLY) for name in ${JSON.stringify(names)}}
was = {name: os.fstat(fd).st_ino for name, fd in old.items()}
w = os.open('m/written', os.O_RDWR)
os.pwrite(w, b'WRITTEN', 5)
shared = mmap.mmap(w, 5)
os.truncate('m/cut', 7)
open('m/other', 'ab').write(b'!')
os.fchmod(old['changed'], 0o4755)
print(*[new(name) for name in old], new('other'), shared[:].decode('latin1'))
print(*[os.pread(fd, 100, 5).decode() for fd in old.values()])
same = lambda a, b: (a.st_ino, a.st_size, a.st_mode, a.st_nlink, a.st_mtime_ns, a.st_ctime_ns) == (b.st_ino, b.st_size, b.st_mode, b.st_nlink, b.st_mtime_ns, b.st_ctime_ns)
print(all(same(os.fstat(fd), os.stat('m/' + name)) and os.fstat(fd).st_ino == was[name] for name, fd in old.items()))
os.chmod('m/linked', 0o640)
print(oct(os.stat('m/other').st_mode), oct(os.fstat(old['linked']).st_mode))
os.utime('m/other', (7, 8))
os.setxattr(old['linked'], 'user.a', b'b')
print(os.stat('m/linked').st_mtime, os.fstat(old['linked']).st_mtime, os.getxattr('m/other', 'user.a').decode())
os.unlink('m/linked'); os.unlink('m/other')
print(os.fstat(old['linked']).st_nlink, os.pread(old['linked'], 6, 5).decode())
os.close(w)
for fd in old.values(): os.close(fd)
print(new('written'), new('cut'))`;
    expect(python(script).split('\n')).toEqual([
      'WRITTEN cu linked! changed linked! \x7fELF ',
      'written cut linked changed',
      'True',
      '0o100640 0o100640',
      '8.0 8.0 b',
      '0 linked',
      'WRITTEN cu',
    ]);
    expect(readFileSync(ground.at('B/written'), 'utf8')).toBe('\x7fELF written');
    run('sh', '-c', 'echo 2 >/proc/sys/vm/drop_caches');
    expect(
      (JSON.parse(ground.lamina('stats', '--json', 'm').stdout) as { overlay: { inodes: number } }).overlay.inodes,
    ).toBe(1);
  });

  test('reading changes no atime in a layer', () => {
    const paths = ['B/bottom', 'U/own'];
    writeFileSync(ground.at('U/own'), 'own');
    for (const path of paths) utimesSync(ground.at(path), 1, 2);
    mount(WRITABLE);
    mount('lowerdir=A:B', 'm2');
    for (const path of ['m/own', 'm/bottom', 'm2/bottom']) readFileSync(ground.at(path));
    expect(paths.map((path) => statSync(ground.at(path)).atimeMs)).toEqual([1000, 1000]);
  });

  test('O_APPEND, and O_SYNC where nothing is to reach the disk, come as requests and agree with the rest', () => {
    mount(`${WRITABLE},volatile`);
    const script = `
a = os.open('m/new', os.O_RDWR | os.O_CREAT)
b = os.open('m/new', os.O_WRONLY | os.O_APPEND)
c = os.open('m/new', os.O_WRONLY | os.O_SYNC)
os.write(a, b'one')
os.write(b, b'two')
os.pwrite(c, b'O', 0)
os.ftruncate(a, 5)
os.write(b, b'three')
print(os.pread(a, 100, 0).decode(), os.fstat(c).st_size)`;
    expect(python(script)).toBe('Onetwthree 10');
    expect(counted('WRITE')).toBe(3);
  });

  test('layers that are stacked themselves are left to the page cache, and refused with passthrough=on', () => {
    mkdirSync(ground.at('S'));
    run('mount', '-t', 'overlay', 'overlay', '-o', 'lowerdir=A:B', 'S');
    const { code, stderr } = ground.fuseLamina('-o', 'lowerdir=S,passthrough=on', 'm');
    expect([code, stderr]).toEqual([
      1,
      `fuse-lamina: cannot mount with passthrough=on: S is on overlayfs, which is stacked itself; leave it at passthrough=auto\n`,
    ]);
    expect(ground.mounted).toEqual(['S']);
    mount('lowerdir=S');
    expect(readFileSync(ground.at('m/bottom'), 'utf8')).toBe('bottom');
    expect(stats().overlay.passthroughOpens).toBe(0);
    run('umount', 'm', 'S');
  });

  test('passthrough=on is refused without the rights, with the reason in one line', () => {
    const options = `${WRITABLE},passthrough=on`;
    const { code, stderr } = ground.run(['unshare', '-Urm', FUSE_LAMINA, '-o', options, 'm']);
    expect(code).toBe(1);
    expect(stderr).toBe(
      'fuse-lamina: cannot mount with passthrough=on: it needs CAP_SYS_ADMIN in the initial user namespace; leave it at passthrough=auto\n',
    );
    expect(ground.mounted).toEqual([]);
  });

  test.each([
    ['passthrough=yes', 'passthrough=yes is none of auto, on, upper, all and off'],
    ['passthrough=on,backend=fuse-native', 'passthrough=on needs the backend "device"'],
    ['passthrough=on,timeout=1', 'timeout= says that the layers change underneath'],
  ])('%s is refused', (option, reason) => {
    const { code, stderr } = ground.fuseLamina('-o', `${WRITABLE},${option}`, 'm');
    expect(code).toBe(1);
    expect(stderr).toContain(reason);
    expect(ground.mounted).toEqual([]);
  });
});
