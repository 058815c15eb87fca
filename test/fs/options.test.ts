import { describe, expect, test } from 'vitest';
import { OptionError } from '../../fs/option-error.ts';
import { parseOptions } from '../../fs/options.ts';

const union = { lowers: ['A', 'B'], upper: 'U', work: 'W' };
const mapping = [{ host: 0, to: 100_000, length: 65_536 }];

describe('parseOptions takes the options of every caller of a mount program', () => {
  test.each([
    ['podman run', 'lowerdir=A:B,upperdir=U,workdir=W,,volatile', { ...union, noSync: true }, {}],
    ['podman diff and commit', 'lowerdir=A:B,upperdir=U,workdir=W,', union, {}],
    ['podman image mount', 'lowerdir=A:B', { lowers: ['A', 'B'] }, {}],
    ['podman -v src:/dst:O', 'lowerdir=A:B,upperdir=U,workdir=W,private', union, { propagation: 'private' }],
    [
      'podman --uidmap',
      'lowerdir=A:B,upperdir=U,workdir=W,volatile,uidmapping=:0:100000:65536,gidmapping=:0:100000:65536',
      { ...union, noSync: true, uidMapping: mapping, gidMapping: mapping },
      {},
    ],
    ['newer podman', 'lowerdir=A:B,upperdir=U,workdir=W,xino=off', union, {}],
    ['containerd', 'workdir=W,upperdir=U,lowerdir=A:B,dev,suid', union, { dev: true, suid: true }],
    ['containerd, read-only', 'lowerdir=A:B,ro', { lowers: ['A', 'B'] }, { readOnly: true }],
  ])('%s', (_caller, text, overlay, fuse) => {
    expect(parseOptions([text], false)).toEqual({ overlay, fuse, unknown: [] });
  });
});

const overlayOf = (text: string, volatileMark = false): unknown =>
  parseOptions([`lowerdir=A,${text}`], volatileMark).overlay;
const fuseOf = (text: string): unknown => parseOptions([`lowerdir=A,${text}`], false).fuse;

describe('parseOptions', () => {
  test('joins several -o', () => {
    expect(parseOptions(['lowerdir=A:B', 'upperdir=U', 'workdir=W,ro'], false)).toMatchObject({
      overlay: union,
      fuse: { readOnly: true },
    });
  });

  test('takes escaped colons, commas and backslashes in paths', () => {
    const { overlay } = parseOptions(['lowerdir=/a\\:b:/c\\,d:/e\\\\f,upperdir=/u\\,v,workdir=/w\\:x'], false);
    expect(overlay).toEqual({ lowers: ['/a:b', '/c,d', '/e\\f'], upper: '/u,v', work: '/w:x' });
  });

  test('keeps a path that ends in a backslash', () => {
    expect(parseOptions(['lowerdir=/a\\'], false).overlay.lowers).toEqual(['/a\\']);
  });

  test.each([
    ['lowerdir=/a', 'lowerdir+=/b'],
    ['lowerdir=/a', 'datadir+=/b'],
    ['lowerdir+=/a', 'lowerdir=/b'],
    ['datadir+=/a', 'lowerdir=/b'],
  ])('refuses %s,%s, whose order nobody could tell', (first, second) => {
    expect(() => parseOptions([`${first},${second}`], false)).toThrow(
      new OptionError(
        `${second}: lowerdir goes with neither lowerdir+ nor datadir+; give all layers by the one or by the others`,
      ),
    );
  });

  test('refuses a layer that follows a data-only one', () => {
    expect(() => parseOptions(['lowerdir+=A,datadir+=B,lowerdir+=C'], false)).toThrow(
      new OptionError(
        'lowerdir+=C: the layer C follows a data-only one; data-only layers come last, each after a double colon',
      ),
    );
  });

  test('keeps bytes that are not UTF-8', () => {
    expect(parseOptions(['lowerdir=/\xff\xfe:/\xe9'], false).overlay.lowers).toEqual(['/\xff\xfe', '/\xe9']);
  });

  test('takes lowerdir+ one at a time, colons and all', () => {
    expect(parseOptions(['lowerdir+=/a\\:b,lowerdir+=/c'], false).overlay.lowers).toEqual(['/a:b', '/c']);
  });

  test('takes data-only layers, after a double colon each or by datadir+', () => {
    const { overlay } = parseOptions(['lowerdir=/a:/b::/c\\:1::/d'], false);
    expect(overlay).toEqual({ lowers: ['/a', '/b'], dataOnly: ['/c:1', '/d'] });
    const { overlay: single } = parseOptions(['lowerdir+=/a,datadir+=/c:1', 'datadir+=/d\\,2'], false);
    expect(single).toEqual({ lowers: ['/a'], dataOnly: ['/c:1', '/d,2'] });
  });

  test('takes 500 layers', () => {
    const lowers = Array.from({ length: 500 }, (_value, index) => `/layers/${index}`);
    expect(parseOptions([`lowerdir=${lowers.join(':')}`], false).overlay.lowers).toEqual(lowers);
  });

  test('names what it does not know, as it was given', () => {
    expect(parseOptions(['lowerdir=A,foo=3,x-systemd.automount,,bar'], false).unknown).toEqual(['foo=3', 'bar']);
  });

  test.each([
    ['timeout=0', { timeout: 0 }],
    ['timeout=1.5', { timeout: 1.5 }],
    ['static_nlink', { staticNlink: true }],
    ['noacl', { noAcl: true }],
    ['noxattrs=1', { noXattrs: true }],
    ['noxattrs=0', { noXattrs: false }],
    ['fsync=0', { noSync: true }],
    ['fsync=1', { noSync: false }],
    ['squash_to_root', { squashUid: 0, squashGid: 0 }],
    ['squash_to_uid=5,squash_to_root', { squashUid: 5, squashGid: 0 }],
    ['squash_to_gid=6', { squashGid: 6 }],
    ['uidmapping=0:1:2:10:20:30', { uidMapping: [mapOf(0, 1, 2), mapOf(10, 20, 30)] }],
    ['workdir=W', {}],
    ['redirect_dir=off', { redirectDir: 'off' }],
    ['redirect_dir=on', { redirectDir: 'on' }],
    ['index=on', { index: true }],
    ['index=off', { index: false }],
    ['metacopy=on', { metacopy: true }],
    ['userxattr', { userXattr: true }],
    ['verity=require', { verity: 'require' }],
    ['uuid=null', { uuid: 'null' }],
    ['nfs_export=on', { nfsExport: true }],
    ['fsync=volatile', { noSync: true }],
    ['fsync=strict', { noSync: false }],
    // What overlayfs turns off where it was not asked for, and takes without an upper.
    ['metacopy=on,redirect_dir=follow', { metacopy: true, redirectDir: 'follow' }],
    ['userxattr,redirect_dir=nofollow', { userXattr: true, redirectDir: 'nofollow' }],
    ['atime', { atime: true }],
    ['relatime', { atime: true }],
    ['noatime', { atime: false }],
    ['ro,strictatime', { atime: false }],
    ['nodiratime', { directoryAtime: false }],
  ])('%s is for the union', (text, expected) => {
    expect(overlayOf(text)).toEqual({ lowers: ['A'], ...expected });
  });

  test.each([
    ['nosuid', { suid: false }],
    ['nodev', { dev: false }],
    ['noexec', { exec: false }],
    ['exec', { exec: true }],
    ['atime', { atime: true }],
    ['nodiratime', { diratime: false }],
    ['allow_other', { allowOther: true }],
    ['fsname=my\\,source', { fsname: 'my,source' }],
    ['rslave', { propagation: 'rslave' }],
    ['backend=fuse-native', { backend: 'fuse-native' }],
  ])('%s is for the mount', (text, expected) => {
    expect(fuseOf(text)).toEqual(expected);
  });

  test('volatile leaves overlayfs’s mark only where that is asked for', () => {
    expect(overlayOf('volatile')).toEqual({ lowers: ['A'], noSync: true });
    expect(overlayOf('volatile', true)).toEqual({ lowers: ['A'], volatile: true });
  });

  const ACCEPTED =
    'xino=on,xino=auto,xino=off,override_creds,context=x,threaded=1,' +
    'writeback=1,fast_ino=1,default_permissions,kernel_cache,max_write=65536,splice_read,' +
    'no_splice_move,subtype=x,nonempty,rw,shared,defaults,_netdev';
  test.each(ACCEPTED.split(','))('%s is accepted', (text) => {
    expect(parseOptions([`lowerdir=A,${text}`], false)).toEqual({ overlay: { lowers: ['A'] }, fuse: {}, unknown: [] });
  });

  test.each([
    ['upperdir=U', 'upperdir needs workdir: an empty directory on the same filesystem (-o workdir=DIR)'],
    ['upperdir=', 'upperdir needs a path: upperdir=PATH'],
    ['lowerdir=:B', 'lowerdir=:B has an empty path'],
    ['lowerdir=B:', 'lowerdir=B: has an empty path'],
    ['lowerdir=B::', 'lowerdir=B:: has an empty path'],
    ['lowerdir=B:::C', 'lowerdir=B:::C has an empty path'],
    ['lowerdir=::C', 'lowerdir=::C has an empty path'],
    [
      'lowerdir=B::C:D',
      'lowerdir=B::C:D: the layer D follows a data-only one; data-only layers come last, each after a double colon',
    ],
    ['timeout=soon', 'timeout=soon is not a number of seconds'],
    ['squash_to_uid=-1', 'squash_to_uid=-1 is not a number from 0 to 4294967295'],
    ['squash_to_uid=4294967296', 'squash_to_uid=4294967296 is not a number from 0 to 4294967295'],
    ['uidmapping=0:1', 'uidmapping=0:1 is not made of triples host:to:length'],
    ['gidmapping=', 'gidmapping= is not made of triples host:to:length'],
    ['gidmapping=a:b:c', 'gidmapping=a is not a number from 0 to 4294967295'],
    ['backend=x', 'backend=x is not one of device, fuse-native'],
    ['noacl=maybe', 'noacl=maybe is neither on (or 1) nor off (or 0)'],
    [
      'xattr_permissions=3',
      'xattr_permissions=3 is none of 0, 1 (security.fuseoverlayfs.override_stat) and 2 (user.containers.override_stat)',
    ],
    ['xino=maybe', 'xino=maybe is none of on, auto and off'],
    ['uuid=x', 'uuid=x is none of null, off, on and auto'],
    ['verity=sha256', 'verity=sha256 is none of off, on and require'],
    ['redirect_dir=1', 'redirect_dir=1 is none of on, follow, nofollow and off'],
    [
      'nooverride_creds',
      'nooverride_creds= is not supported: the layers are accessed with the rights of the daemon, not of the caller',
    ],
  ])('%s is an error that says why', (text, message) => {
    expect(() => overlayOf(text)).toThrow(new OptionError(message));
  });

  test.each([0, 1, 2])('xattr_permissions=%i is kept', (value) => {
    expect(overlayOf(`xattr_permissions=${value}`)).toEqual({ lowers: ['A'], xattrPermissions: value });
  });

  const UPPER = 'upperdir=U,workdir=W';
  test.each([
    `${UPPER},metacopy=on,redirect_dir=off`,
    `${UPPER},metacopy=on,redirect_dir=follow`,
    'metacopy=on,redirect_dir=nofollow',
    `${UPPER},nfs_export=on,index=off`,
    `${UPPER},nfs_export=on,metacopy=on`,
    `${UPPER},userxattr,redirect_dir=on`,
    `${UPPER},userxattr,redirect_dir=follow`,
    `${UPPER},userxattr,redirect_dir=off`,
    `${UPPER},userxattr,metacopy=on`,
  ])('%s conflict, as in overlayfs', (text) => {
    const named = text.replace(`${UPPER},`, '');
    expect(() => overlayOf(text)).toThrow(OptionError);
    expect(() => overlayOf(text)).toThrow(`conflicting options: ${named} (`);
  });

  test('no lowerdir at all is an error', () => {
    expect(() => parseOptions(['ro'], false)).toThrow('lowerdir is missing: -o lowerdir=DIR[:DIR...]');
    expect(() => parseOptions([], false)).toThrow(OptionError);
  });
});

function mapOf(host: number, to: number, length: number): unknown {
  return { host, to, length };
}
