import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { join } from 'node:path';
import { DIST } from '../support/paths.ts';
import { has, titled } from '../support/requirements.ts';
import { cannotMount, Playground } from './playground.ts';

const PROGRAM = [join(DIST, 'cli/fuse-lamina')];

describe.skipIf(cannotMount !== undefined)(titled('fuse-lamina', cannotMount), () => {
  let ground: Playground;
  beforeEach(() => void (ground = new Playground()));
  afterEach(() => ground.clear());

  const WRITABLE = 'lowerdir=A:B,upperdir=U,workdir=W';

  describe('takes the command line of', () => {
    test.each([
      ['podman run', ['-o', `${WRITABLE},,volatile`, 'm'], true],
      ['podman diff and commit', ['-o', `${WRITABLE},`, 'm'], true],
      ['podman image mount', ['-o', 'lowerdir=A:B', 'm'], false],
      ['podman -v src:/dst:O', ['-o', `${WRITABLE},private`, 'm'], true],
      ['newer podman', ['-o', `${WRITABLE},xino=off`, 'm'], true],
      ['containerd, by mount.fuse3', ['overlay', 'm', '-o', 'workdir=W,upperdir=U,lowerdir=A:B,dev,suid'], true],
      ['containerd, read-only', ['overlay', 'm', '-o', 'lowerdir=A:B,ro'], false],
      ['mount(8), by a helper', ['overlay', 'm', '-n', '-v', '-t', 'fuse.lamina', '-o', `rw,${WRITABLE}`], true],
      ['several -o', ['-o', 'lowerdir=A:B', '-oupperdir=U', 'm', '-o', 'workdir=W'], true],
    ])('%s', (_caller, parameters, writable) => {
      expect(ground.fuseLamina(...parameters)).toEqual({ code: 0, stdout: '', stderr: '' });
      expect(readdirSync(ground.at('m')).sort()).toEqual(['bottom', 'dir', 'top']);
      expect(readdirSync(ground.at('m/dir')).sort()).toEqual(['lower', 'upper']);
      if (writable) {
        writeFileSync(ground.at('m/new'), 'new');
        expect(readFileSync(ground.at('U/new'), 'utf8')).toBe('new');
      } else {
        expect(() => writeFileSync(ground.at('m/new'), 'new')).toThrow(/EROFS/);
      }
    });

    test('podman --uidmap', () => {
      const mapping = 'uidmapping=:0:100000:65536,gidmapping=:0:100000:65536';
      expect(ground.fuseLamina('-o', `${WRITABLE},volatile,${mapping}`, 'm')).toMatchObject({ code: 0, stderr: '' });
      expect(ground.run(['stat', '-c', '%u:%g', 'm/bottom']).stdout).toBe('100000:100000\n');
    });

    test('podman, whose lowers are relative symlinks in the graph root', () => {
      mkdirSync(ground.at('l'));
      symlinkSync('../A', ground.at('l/SHORTA'));
      symlinkSync('../B', ground.at('l/SHORTB'));
      const options = 'lowerdir=l/SHORTA:l/SHORTB,upperdir=U,workdir=W';
      expect(ground.fuseLamina('-o', options, ground.at('m'))).toMatchObject({ code: 0, stderr: '' });
      expect(readFileSync(ground.at('m/dir/lower'), 'utf8')).toBe('lower');
    });

    const noHelper = has('mount.fuse3');
    test.skipIf(noHelper !== undefined)(titled('mount -t fuse.fuse-lamina, through mount.fuse3', noHelper), () => {
      writeFileSync(ground.at('fuse-lamina'), `#!/bin/sh\nexec ${PROGRAM.join(' ')} "$@"\n`, { mode: 0o755 });
      const path = `${ground.path}:${process.env['PATH'] ?? ''}`;
      const options = `lowerdir=${ground.at('A')},upperdir=${ground.at('U')},workdir=${ground.at('W')}`;
      const command = ['mount.fuse3', 'overlay', ground.at('m'), '-t', 'fuse.fuse-lamina', '-o', options];
      expect(ground.run(command, { PATH: path })).toMatchObject({ code: 0 });
      expect(readFileSync(ground.at('m/top'), 'utf8')).toBe('top');
    });
  });

  test('mounts with the defaults of fuse-overlayfs as root', () => {
    ground.fuseLamina('overlay', 'm', '-o', WRITABLE);
    const line = readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .find((text) => text.includes(ground.at('m')));
    expect(line).toMatch(/^overlay \S+ fuse\.lamina rw,noatime,/);
    expect(line).toMatch(/,default_permissions,allow_other[, ]/);
    expect(line).not.toMatch(/nosuid|nodev|noexec/);
  });

  test('passes nosuid, nodev and noexec on', () => {
    ground.fuseLamina('-o', `${WRITABLE},nosuid,nodev,noexec`, 'm');
    const line = readFileSync('/proc/self/mounts', 'utf8')
      .split('\n')
      .find((text) => text.includes(ground.at('m')));
    expect(line).toMatch(/ rw,nosuid,nodev,noexec,noatime,/);
  });

  test('warns of what it does not know, and mounts', () => {
    const { code, stderr } = ground.fuseLamina('--frobnicate', '-o', 'lowerdir=A,foo=3', 'm');
    expect(code).toBe(0);
    expect(stderr).toBe('unknown argument ignored: --frobnicate\nunknown argument ignored: foo=3\n');
    expect(ground.mounted).toEqual(['m']);
  });

  test('takes paths with colons, commas and bytes that are not UTF-8', () => {
    for (const name of ['with:colon', 'with,comma']) mkdirSync(ground.at(name));
    writeFileSync(ground.at('with:colon/one'), '1');
    writeFileSync(ground.at('with,comma/two'), '2');
    const script = [
      `mkdir "$(printf 'm\\377')" "$(printf 'L\\351')"`,
      `echo 3 > "$(printf 'L\\351/three')"`,
      `${PROGRAM.join(' ')} -o "lowerdir=with\\:colon:with\\,comma:$(printf 'L\\351')" "$(printf 'm\\377')"`,
      `ls "$(printf 'm\\377')"`,
      `umount "$(printf 'm\\377')"`,
    ].join(' && ');
    expect(ground.run(['sh', '-c', script])).toEqual({ code: 0, stdout: 'one\nthree\ntwo\n', stderr: '' });
  });

  test('mounts 500 layers under a low limit of open files, which the daemon raises to the hard one', () => {
    const layers = Array.from({ length: 500 }, (_value, index) => `L${index}`);
    for (const layer of layers) {
      mkdirSync(ground.at(layer));
      writeFileSync(ground.at(layer, `in-${layer}`), layer);
    }
    const command = ['prlimit', '--nofile=100:4096', ...PROGRAM, '-o', `lowerdir=${layers.join(':')}`, 'm'];
    expect(ground.run(command)).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(readdirSync(ground.at('m'))).toHaveLength(500);
    expect(readFileSync(ground.at('m/in-L499'), 'utf8')).toBe('L499');
    expect(readFileSync(`/proc/${ground.daemonOf('m')}/limits`, 'utf8')).toMatch(/Max open files +4096 +4096/);
  });

  test('--help and --version print and mount nothing', () => {
    const help = ground.fuseLamina('--help');
    expect([help.code, help.stderr]).toEqual([0, '']);
    expect(help.stdout).toMatch(/^Usage: fuse-lamina/);
    for (const flag of ['--version', '-V']) {
      const version = ground.fuseLamina(flag);
      expect([version.code, version.stderr]).toEqual([0, '']);
      expect(version.stdout).toMatch(/version \d+\.\d+\.\d+\n$/);
    }
  });

  describe('refuses with one line, exit 1, and nothing mounted,', () => {
    const escape = (text: string): string => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
    const refused = (parameters: readonly string[], message: string | RegExp): void => {
      const { code, stdout, stderr } = ground.fuseLamina(...parameters);
      expect(stderr).toMatch(typeof message === 'string' ? new RegExp(`^fuse-lamina: ${escape(message)}\n$`) : message);
      expect([code, stdout]).toEqual([1, '']);
      expect(ground.mounted).toEqual([]);
    };

    test.each<[string, string[], string | RegExp]>([
      ['no mount point', ['-o', 'lowerdir=A'], 'the mount point is missing (fuse-lamina --help)'],
      ['too many arguments', ['a', 'b', 'c'], 'too many arguments: a b c'],
      ['-o with nothing', ['m', '-o'], /^fuse-lamina: -o needs options behind it/],
      ['a mount point that is not there', ['-o', 'lowerdir=A', 'none'], 'mount point none does not exist'],
      ['a mount point that is a file', ['-o', 'lowerdir=A', 'A/top'], 'mount point A/top is not a directory'],
      ['no lowerdir', ['-o', 'ro', 'm'], 'lowerdir is missing: -o lowerdir=DIR[:DIR...]'],
      ['a lowerdir that is not there', ['-o', 'lowerdir=A:none', 'm'], /^fuse-lamina: .*lowerdir none.*ENOENT.*\n$/],
      ['a lowerdir that is a file', ['-o', 'lowerdir=A/top', 'm'], /^fuse-lamina: .*A\/top.*ENOTDIR.*\n$/],
      [
        'an upperdir without workdir',
        ['-o', 'lowerdir=A,upperdir=U', 'm'],
        'upperdir needs workdir: an empty directory on the same filesystem (-o workdir=DIR)',
      ],
      [
        'an upperdir on another filesystem than workdir',
        ['-o', 'lowerdir=A,upperdir=U,workdir=/dev/shm', 'm'],
        /^fuse-lamina: .*workdir \/dev\/shm.*another filesystem than upperdir.*\n$/,
      ],
      ['a bad number', ['-o', 'lowerdir=A,timeout=x', 'm'], 'timeout=x is not a number of seconds'],
    ])('%s', (_what, parameters, message) => refused(parameters, message));

    test('a mount point in use', () => {
      ground.fuseLamina('-o', 'lowerdir=A', 'm');
      const { code, stderr } = ground.fuseLamina('-o', 'lowerdir=B', 'm');
      expect([code, stderr]).toEqual([1, 'fuse-lamina: mount point m is in use: lamina is mounted on it already\n']);
      expect(ground.mounted).toEqual(['m']);
    });

    test('no /dev/fuse, and says what to do in a container', () => {
      const script = [
        'mount -t tmpfs none m2',
        'mknod m2/null c 1 3 && mknod m2/urandom c 1 9 && mount --bind m2 /dev',
        `${PROGRAM.join(' ')} -o lowerdir=A m`,
      ].join(' && ');
      const { code, stderr } = ground.run(['unshare', '--mount', 'sh', '-c', script]);
      expect(code).toBe(1);
      expect(stderr).toMatch(
        /^fuse-lamina: cannot mount on \S+: \/dev\/fuse is not there \(ENOENT\): as root: modprobe fuse; .*--device \/dev\/fuse --cap-add SYS_ADMIN.*\n$/,
      );
    });

    test('a /dev/fuse closed to the user, which is told from one that is not there', () => {
      const drop = 'setpriv --reuid 12345 --regid 12345 --clear-groups --no-new-privs';
      const copied = ground.at('dist');
      // The build may lie where another user cannot read it.
      const script = `cp -r ${DIST} ${copied} && ln -s ${join(DIST, '../node_modules')} node_modules; chmod 0755 .
        echo '{"type":"module"}' > package.json
        cp /dev/null m2/x; mknod -m 0600 m2/fuse c 10 229 && mount --bind m2/fuse /dev/fuse
        exec ${drop} ${copied}/cli/fuse-lamina -o lowerdir=A m`;
      const { code, stderr } = ground.run(['unshare', '--mount', 'sh', '-c', script]);
      expect(stderr).toMatch(
        /^fuse-lamina: cannot mount on \S+: \/dev\/fuse is there, but closed to you \(EACCES\): as root: chmod 0666 \/dev\/fuse.*\n$/,
      );
      expect(code).toBe(1);
    });
  });

  test('leaves no state behind where it refused', () => {
    ground.fuseLamina('-o', 'lowerdir=none', 'm');
    expect(ground.registered()).toEqual([]);
    rmSync(ground.at('W'), { recursive: true });
    ground.fuseLamina('-o', 'lowerdir=A,upperdir=U,workdir=W', 'm');
    expect(ground.registered()).toEqual([]);
    expect(existsSync(ground.at('W'))).toBe(false);
  });
});
