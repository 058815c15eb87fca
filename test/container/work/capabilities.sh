# File capabilities: ping for who has none, kept by cp -a, taken away by a write.
set -eu
cp /bin/ping /opt/ping
setcap cap_net_raw+ep /opt/ping
setpriv --reuid nobody --regid nogroup --clear-groups /opt/ping -q -c 1 -W 5 127.0.0.1 | grep -q ' 1 received'
cp -a /opt/ping /opt/kept
getcap /opt/kept | grep -q 'cap_net_raw=ep'
mv /opt/kept /opt/moved
printf x >>/opt/moved
test -z "$(getcap /opt/moved)"
