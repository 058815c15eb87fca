# A cluster that dpkg's scripts made, served on a unix socket by its own user; what it wrote is there when the container
# has been stopped and started again.
set -eu
as() {
  su postgres -c "$1"
}
wait_for() {
  until as 'pg_isready -q'; do sleep 0.1; done
}

# A container that is stopped has its processes killed, and the server leaves its number behind.
pg_ctlcluster 15 main start | { grep -v '^Removed stale pid file.$' || :; }
wait_for
case $1 in
first)
  as 'createdb work'
  as 'psql -q work' <<SQL
create table numbers (number int primary key, hash text);
insert into numbers select n, md5(n::text) from generate_series(1, 20000) n;
create index on numbers (hash);
SQL
  ;;
again)
  as 'psql -q work -c "reindex table numbers" -c "vacuum full numbers"'
  ;;
esac
as 'psql -At work -c "select count(*), sum(length(hash)), bool_and(hash = md5(number::text)) from numbers"'
stat -c %U "/proc/$(head -n 1 /var/lib/postgresql/15/main/postmaster.pid)"
stat -c '%F %U %a' /run/postgresql/.s.PGSQL.5432
