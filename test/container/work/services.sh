# What services and scripts do with files: WAL in shared memory, locks, holes, events, sockets, rotation, locales.
set -eu
cd /srv
sqlite3 wal.db 'pragma journal_mode=wal; create table t (a)' >/dev/null
for number in $(seq 12); do sqlite3 -cmd '.timeout 60000' wal.db "insert into t values ($number)" & done
wait
test "$(sqlite3 -cmd 'pragma mmap_size=1000000' wal.db 'select count(*), sum(a) from t; pragma integrity_check' | tail -n 2)" = '12|78
ok'

flock held sh -c '! flock --nonblock held true'
flock --nonblock held true
fallocate -l 1M allocated
fallocate -p -o 0 -l 512K allocated
test "$(stat -c %s allocated)" = 1048576
test "$(du -k allocated | cut -f 1)" -le 516

mkfifo pipe
echo through >pipe &
test "$(cat pipe)" = through

mkdir watched
touch events
inotifywait -e create,close_write,moved_to,delete --format '%e %f' -o /srv/events -d /srv/watched
# It goes into the background before it watches.
until grep -q ready events; do
  : >watched/ready
  sleep 0.1
done
echo x >watched/a
mv watched/a watched/b
rm watched/b
until grep -q 'DELETE b' events; do sleep 0.1; done
test "$(grep -v ready events)" = 'CREATE a
CLOSE_WRITE,CLOSE a
MOVED_TO b
DELETE b'

mkdir /var/log/work
seq 1000 >/var/log/work/a.log
printf '/var/log/work/*.log {\n rotate 3\n compress\n create 0640 root adm\n}\n' >/srv/rotate.conf
logrotate -s /srv/rotated -f /srv/rotate.conf
test "$(zcat /var/log/work/a.log.1.gz | tail -n 1) $(stat -c '%a %G %s' /var/log/work/a.log)" = '1000 640 adm 0'

touch mark
sleep 0.02
echo >>/etc/issue
test "$(find /etc -xdev -newer mark -type f)" = /etc/issue

echo 'de_DE.UTF-8 UTF-8' >/etc/locale.gen
locale-gen >/dev/null
LC_ALL=de_DE.UTF-8 perl -MPOSIX -e 'print strftime("%A\n", gmtime 0)' | grep -qx Donnerstag

python3 -m venv --without-pip environment
environment/bin/python -c 'import sys; assert sys.prefix == "/srv/environment"'
printf 'from setuptools import setup\nsetup(name="one", version="1", py_modules=["one"])\n' >setup.py
echo 'value = 1' >one.py
python3 -m pip --quiet --disable-pip-version-check --python environment/bin/python install --no-index --no-build-isolation . 2>/dev/null ||
  python3 -m pip --quiet install --break-system-packages --root-user-action ignore --no-index --no-build-isolation .
