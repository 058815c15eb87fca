#!/bin/sh
# lamina. Node 20 reads the certificates that NODE_EXTRA_CA_CERTS names whenever it starts, and they take it longer than most
# commands take in all. Whoever speaks to a registry reads them by himself: runner/extra-certificates.ts.

self=$0
if [ -h "$self" ]; then self=$(readlink -f "$self"); fi
case $self in
  */*) here=${self%/*} ;;
  *) here=. ;;
esac

if [ -n "${NODE_EXTRA_CA_CERTS-}" ]; then
  LAMINA_EXTRA_CA_CERTS=$NODE_EXTRA_CA_CERTS
  export LAMINA_EXTRA_CA_CERTS
  unset NODE_EXTRA_CA_CERTS
fi

if ! command -v node >/dev/null; then
  echo 'lamina: node is not on the PATH: install Node.js, or add its directory' >&2
  exit 127
fi
exec node "$here/lamina.js" "$@"
