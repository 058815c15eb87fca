#!/bin/sh
# A container runner that knows none of the attacks that test/container/escape.test.ts makes: it follows the symlinks of
# its image by path, leaves its descriptors and its terminal to the container, and changes the root by chroot. What it
# mounts is in a mount namespace of its own, and what a symlink leads it to is below NAIVE_CANARY, or it gives up.
#
# Usage: naive-runner.sh ROOT COMMAND [ARGUMENT...]
#   NAIVE_RUNTIME  the program that becomes the command: a perl
#   NAIVE_SYSCTL   PATH=VALUE, below /proc/sys
#   NAIVE_VOLUME   SOURCE:DESTINATION
#   NAIVE_MASK     path that is hidden by /dev/null
#   NAIVE_CONSOLE  not empty: /dev/pts/0 becomes /dev/console
#   NAIVE_WORKDIR  working directory
set -eu
if [ -z "${NAIVE_INSIDE:-}" ]; then
  export NAIVE_INSIDE=1
  exec unshare --mount --propagation private --pid --fork "$0" "$@"
fi
root=$1
shift

confined() {
  case $(readlink -f "$1") in
    "$root"/* | "$NAIVE_CANARY" | "$NAIVE_CANARY"/*) ;;
    *)
      echo "naive runner: $1 leads to $(readlink -f "$1"), which is no canary" >&2
      exit 99
      ;;
  esac
}

if [ -n "${NAIVE_SYSCTL:-}" ]; then
  confined "$root/proc/sys/${NAIVE_SYSCTL%%=*}"
  echo "${NAIVE_SYSCTL#*=}" >"$root/proc/sys/${NAIVE_SYSCTL%%=*}"
fi
confined "$root/proc"
mount -t proc proc "$root/proc"
if [ -n "${NAIVE_VOLUME:-}" ]; then
  confined "$(dirname "$root${NAIVE_VOLUME#*:}")"
  mkdir -p "$root${NAIVE_VOLUME#*:}"
  mount --bind "${NAIVE_VOLUME%%:*}" "$root${NAIVE_VOLUME#*:}"
fi
if [ -n "${NAIVE_MASK:-}" ]; then
  confined "$root/dev/null"
  mount --bind "$root/dev/null" "$root$NAIVE_MASK"
fi
if [ -n "${NAIVE_CONSOLE:-}" ]; then
  confined "$root/dev/pts/0"
  touch "$root/dev/console"
  mount --bind "$root/dev/pts/0" "$root/dev/console"
fi
if [ -n "${NAIVE_SHOW_MOUNTS:-}" ]; then cat /proc/self/mountinfo; fi
# Not the last command: this process, whose root is the host's, is the container's process 1.
"${NAIVE_RUNTIME:-perl}" -e 'chroot shift or die; chdir(shift) or die "workdir: $!"; exec { $ARGV[0] } @ARGV or die' \
  "$root" "${NAIVE_WORKDIR:-/}" "$@"
exit $?
