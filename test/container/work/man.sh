# man finds a page, formats it, and has an index.
set -eu
mandb --quiet
test -s /var/cache/man/index.db
man rsync | col -b | sed -n '/^NAME/{n;p;q}'
