# What packages' scripts and administrators do: triggers, diversions, overrides, alternatives, users, removal.
set -eu
ldconfig -p | grep -q libpq.so
dpkg-divert --local --rename --add /usr/bin/file >/dev/null
test -e /usr/bin/file.distrib
dpkg-divert --rename --remove /usr/bin/file >/dev/null
dpkg-statoverride --add --update root adm 0750 /usr/bin/file
test "$(stat -c '%a %G' /usr/bin/file)" = '750 adm'
dpkg-statoverride --remove /usr/bin/file
chown root:root /usr/bin/file
chmod 755 /usr/bin/file
update-alternatives --quiet --install /usr/bin/editor editor /usr/bin/vim.basic 100
update-alternatives --quiet --set editor /usr/bin/vim.basic
test "$(readlink -f /usr/bin/editor)" = /usr/bin/vim.basic
adduser --quiet --disabled-password --gecos '' other
test "$(stat -c %U /home/other)" = other
deluser --quiet --remove-home other >/dev/null
test ! -e /home/other
apt-get -qq -y --purge remove logrotate >/dev/null
test ! -e /etc/logrotate.conf
apt-get -qq check
