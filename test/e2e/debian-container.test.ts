import { createHash } from 'node:crypto';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Lamina, type User, makeUser, removeUser } from '../container/lamina.ts';
import { snapshot } from '../image/ground.ts';
import { firstMissing, has, hasFuseDevice, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';
import { ARCHIVE, IMAGE, hasDebianImage } from './debian.ts';

const AT_ONCE = 20;

// What perl's own file functions do, each checked where it is done.
const PERL = `
use strict; use Fcntl; my $d = "/srv/perl"; mkdir $d or die "mkdir: $!";
sysopen(my $f, "$d/a", O_RDWR|O_CREAT|O_EXCL) or die "create: $!"; print $f "x" x 100000; close $f or die "close: $!";
-s "$d/a" == 100000 or die "size"; rename "$d/a", "$d/b" or die "rename: $!"; link "$d/b", "$d/c" or die "link: $!";
symlink "b", "$d/s" or die "symlink: $!"; readlink("$d/s") eq "b" or die "readlink"; (stat "$d/b")[3] == 2 or die "links";
utime 1, 2, "$d/b" or die "utime: $!"; (stat "$d/c")[9] == 2 or die "mtime"; chmod 0600, "$d/b" or die "chmod: $!";
truncate "$d/c", 10 or die "truncate: $!"; -s "$d/b" == 10 or die "truncated"; opendir(my $h, $d) or die "opendir: $!";
my @n = sort grep { !/^\\./ } readdir $h; "@n" eq "b c s" or die "names: @n";
unlink "$d/b", "$d/c", "$d/s" or die "unlink: $!"; rmdir $d or die "rmdir: $!"; rename "/etc", "/etc2" or die "directory: $!";
rename "/etc2", "/etc" or die "back: $!"; print "perl is content\\n";`;

const SCRIPT = `set -e
dpkg -i /x.deb >/dev/null
hello
dpkg --verify hello
perl -e '${PERL.replaceAll("'", `'"'"'`)}'
apt-get check >/dev/null
find / -xdev >/tmp/found
test "$(wc -l </tmp/found)" -gt 5000
tar -C / --one-file-system -cf - . | tar -tf - >/tmp/archived
grep -c . /tmp/archived >/dev/null
cp -a /usr/share /opt/share
diff -r /usr/share /opt/share
rm -r /opt/share /usr/share/doc
test ! -e /usr/share/doc
mkdir /usr/share/doc
test -z "$(ls -A /usr/share/doc)"
useradd --create-home someone
su someone -c 'touch /home/someone/mine && test "$(stat -c %U /home/someone/mine)" = someone && ! touch /etc/theirs 2>/dev/null'
echo all done`;

/** One number for everything in the unpacked layers. */
function hashOfLayers(lamina: Lamina): string {
  const lines = snapshot(join(lamina.root, 'layers'));
  expect(lines.length).toBeGreaterThan(5_000);
  return createHash('sha256').update(lines.join('\n')).digest('hex');
}

async function loaded(user?: User): Promise<Lamina> {
  const lamina = new Lamina(user);
  const { code, stderr } = await lamina.call(['load', '-i', ARCHIVE]);
  if (code !== 0) throw new Error(`load: ${stderr}`);
  return lamina;
}

async function installsAndWorks(lamina: Lamina): Promise<void> {
  const before = hashOfLayers(lamina);
  const { code, stdout, stderr } = await lamina.call(['run', '--rm', IMAGE, 'bash', '-c', SCRIPT]);
  expect({ code, stdout, stderr }).toMatchObject({ code: 0 });
  expect(stdout).toMatch(/Hello, world!\n(.*\n)*perl is content\nall done\n$/);
  expect(hashOfLayers(lamina)).toBe(before);
}

const missing = firstMissing(isRoot(), hasFuseDevice(), hasDebianImage());

describe.skipIf(missing !== undefined)(titled('lamina run of Debian as root', missing), () => {
  let lamina: Lamina;

  beforeAll(async () => {
    lamina = await loaded();
  });
  afterAll(() => lamina.close());

  test('installs a package, does what perl, find, tar and rm do, and leaves the layers as they are', async () => {
    await installsAndWorks(lamina);
  });

  test(`${AT_ONCE} containers at once write each for itself, over one copy of the layers`, async () => {
    const before = hashOfLayers(lamina);
    const script = (index: number) =>
      `set -e; for i in $(seq 50); do echo ${index} >/etc/file-$i; echo ${index} >>/etc/passwd; done; rm /etc/hosts.allow 2>/dev/null || :
       test "$(cat /etc/file-* | sort -u)" = ${index}; tail -n 50 /etc/passwd | sort -u`;
    const runs = Array.from({ length: AT_ONCE }, (_, index) =>
      lamina.call(['run', '--rm', IMAGE, 'bash', '-c', script(index)]),
    );
    for (const [index, outcome] of (await Promise.all(runs)).entries()) {
      expect(outcome).toMatchObject({ code: 0, stdout: `${index}\n` });
    }
    expect(hashOfLayers(lamina)).toBe(before);
  });
});

const rootless = firstMissing(missing, hasUserNamespaces(), has('useradd'), has('setpriv'), has('newuidmap'));

describe.skipIf(rootless !== undefined)(titled('lamina run of Debian as an ordinary user', rootless), () => {
  let user: User;
  let lamina: Lamina;

  beforeAll(async () => {
    user = makeUser('lamina-debian', { start: 720_000_000, count: 65_536 });
    execFileSync('chmod', ['a+r', ARCHIVE]);
    lamina = await loaded(user);
  });
  afterAll(async () => {
    await lamina.close();
    removeUser(user.name);
  });

  test('installs a package, does what perl, find, tar and rm do, and leaves the layers as they are', async () => {
    await installsAndWorks(lamina);
  });
});
