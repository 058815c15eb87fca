#!/bin/sh
# fuse-lamina. To mount in the background takes a Node that serves, and no other that waits for it: a shell waits as well,
# and starts in a thirtieth of the time. All else is for Node.

self=$0
if [ -h "$self" ]; then self=$(readlink -f "$self"); fi
case $self in
  */*) here=${self%/*} ;;
  *) here=. ;;
esac

# It has Node read certificates when it starts, which takes it as long as all else, and there is nobody to speak to here.
unset NODE_EXTRA_CA_CERTS

for argument do
  case $argument in
    -f | -d | --debug | -h | --help | -V | --version) exec node "$here/fuse-lamina.js" "$@" ;;
  esac
done

if ! command -v node >/dev/null; then
  echo 'fuse-lamina: node is not on the PATH: install Node.js, or add its directory' >&2
  exit 127
fi

# It ends when the daemon lets go of its standard output, which is when the mount answers or cannot be made. The daemon has
# told the reason by itself.
answer=$(
  exec node "$here/../fs/background-process.js" "$$" "$@" </dev/null &
)
case $answer in
  mounted) exit 0 ;;
  # Shells put some signals off until here: a daemon that does not hear of us unmounts.
  mounted\ *) kill -s USR2 "${answer#mounted }" 2>/dev/null && exit 0 ;;
  refused) exit 1 ;;
esac
echo 'fuse-lamina: the daemon ended early' >&2
exit 1
