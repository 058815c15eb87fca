# Copies by rsync -aHAXS and tar -xp are equal in everything: links, lists, attributes, holes, capabilities, times.
set -eu
rm -rf /srv/from /srv/rsync /srv/tar
mkdir -p /srv/from/directory
cd /srv/from
echo one >directory/file
ln directory/file linked
ln -s linked symbolic
ln -s /nowhere dangling
truncate -s 8M sparse
printf x | dd of=sparse bs=1 seek=4000000 conv=notrunc status=none
setfattr -n user.note -v value directory/file
setfacl -m u:daemon:rwx,g:adm:r-x,d:u:daemon:r-x directory
chown 1:50 sparse
cp /bin/true setuid
chown daemon setuid
chmod 4711 setuid
cp /bin/ping capable
setcap cap_net_raw+ep capable
mkfifo -m 620 fifo
echo latin1 >"$(printf 'caf\351')"
mkdir -m 1777 sticky
# rsync takes times of one second for the same.
find . -depth -exec touch -h -d '2000-01-01 00:00:00.25' {} +
touch -d '2001-02-03 04:05:06.789012345' directory/file
touch -h -d '1999-12-31 23:59:59.5' symbolic
touch -d '2002-03-04 05:06:07.1' directory

describe() (
  cd "$1"
  find . -type d -printf '%P %m %U:%G %n %T@\n' | sort
  find . ! -type d -printf '%P %y %m %U:%G %n %s %T@ %l\n' | sort
  find . ! -type l | sort | getfacl -
  find . | sort | tr '\n' '\0' | xargs -0 getfattr -h -d -m 'user|security' -e hex
  find . -type f -exec cksum {} + | sort
)

rsync -aHAXS --numeric-ids /srv/from/ /srv/rsync/
test -z "$(rsync -aHAXSin --numeric-ids --delete --checksum /srv/from/ /srv/rsync/)"
mkdir /srv/tar
tar -C /srv/from --sparse --xattrs --xattrs-include='*' --acls --format=posix -cf - . | tar -C /srv/tar --xattrs --xattrs-include='*' --acls -xpf -
describe /srv/from >/tmp/from
describe /srv/rsync >/tmp/rsync
describe /srv/tar >/tmp/tar
diff /tmp/from /tmp/rsync
diff /tmp/from /tmp/tar
test "$(stat -c %h /srv/tar/linked)" = 2
for copy in rsync tar; do test "$(du -k /srv/$copy/sparse | cut -f 1)" -lt 100; done
# All of the image's own, of several layers.
rsync -aHAX /usr/bin /usr/share/perl5 /srv/image/
test -z "$(rsync -aHAXin --checksum --delete /usr/bin /usr/share/perl5 /srv/image/)"
echo equal
