# Programs that become someone else: su, sudo, passwd, and setuid of our own, which a write takes away.
set -eu
useradd --create-home someone
echo someone:secret | chpasswd
echo 'someone ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/someone
chmod 440 /etc/sudoers.d/someone
uid=$(id -u someone)

test "$(su someone -c 'id -un; id -gn; touch ~/mine; stat -c %u ~/mine')" = "someone
someone
$uid"
! su someone -c 'touch /etc/theirs' 2>/dev/null
test "$(su someone -c 'sudo -n id -u; sudo -n -u daemon id -un; sudo -n touch /etc/ours; stat -c %U /etc/ours')" = "0
daemon
root"
su someone -c 'passwd -S' | grep -q '^someone P '
# With a password, which unix_chkpwd or su itself reads from what only root may read.
test "$(su someone -c 'echo secret | su someone -c "id -u"' 2>/dev/null)" = "$uid"
! su someone -c 'echo wrong | su someone -c true' 2>/dev/null

cp /usr/bin/id /usr/local/bin/id-of-someone
chown someone /usr/local/bin/id-of-someone
chmod 4755 /usr/local/bin/id-of-someone
test "$(su daemon -s /bin/sh -c '/usr/local/bin/id-of-someone -u')" = "$uid"
chmod o+w /usr/local/bin/id-of-someone
su daemon -s /bin/sh -c 'printf x >>/usr/local/bin/id-of-someone'
test ! -u /usr/local/bin/id-of-someone
userdel --remove someone
! id someone 2>/dev/null
