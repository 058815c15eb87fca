# What perl's own functions, find, tar, cp, diff and rm do with the whole of an image.
set -eu
dpkg -i /x.deb >/dev/null
hello
dpkg --verify hello
perl <<'PERL'
use strict; use Fcntl; my $d = "/srv/perl"; mkdir $d or die "mkdir: $!";
sysopen(my $f, "$d/a", O_RDWR|O_CREAT|O_EXCL) or die "create: $!"; print $f "x" x 100000; close $f or die "close: $!";
-s "$d/a" == 100000 or die "size"; rename "$d/a", "$d/b" or die "rename: $!"; link "$d/b", "$d/c" or die "link: $!";
symlink "b", "$d/s" or die "symlink: $!"; readlink("$d/s") eq "b" or die "readlink"; (stat "$d/b")[3] == 2 or die "links";
utime 1, 2, "$d/b" or die "utime: $!"; (stat "$d/c")[9] == 2 or die "mtime"; chmod 0600, "$d/b" or die "chmod: $!";
truncate "$d/c", 10 or die "truncate: $!"; -s "$d/b" == 10 or die "truncated"; opendir(my $h, $d) or die "opendir: $!";
my @n = sort grep { !/^\./ } readdir $h; "@n" eq "b c s" or die "names: @n";
unlink "$d/b", "$d/c", "$d/s" or die "unlink: $!"; rmdir $d or die "rmdir: $!"; rename "/etc", "/etc2" or die "directory: $!";
rename "/etc2", "/etc" or die "back: $!";
PERL
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
