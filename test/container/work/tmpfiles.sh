# systemd-tmpfiles makes what its configuration says, twice over.
set -eu
mkdir -p /etc/tmpfiles.d
cat >/etc/tmpfiles.d/work.conf <<CONF
d /run/work 0750 root adm -
f /run/work/file 0640 root adm - content
L /run/work/link - - - - ../file
p /run/work/fifo 0600 daemon root
d /var/work 2775 root staff -
C /var/work/passwd 0600 root root - /etc/passwd
a /var/work - - - - u:daemon:rwx
t /run/work/file - - - - user.note=value
r! /run/work/never
CONF
systemd-tmpfiles --create /etc/tmpfiles.d/work.conf
systemd-tmpfiles --create --remove /etc/tmpfiles.d/work.conf
stat -c '%n %F %a %U:%G' /run/work /run/work/file /run/work/link /run/work/fifo /var/work /var/work/passwd
readlink /run/work/link
cat /run/work/file
echo
getfattr --only-values -n user.note /run/work/file
echo
getfacl -cp /var/work | grep daemon
cmp /etc/passwd /var/work/passwd
