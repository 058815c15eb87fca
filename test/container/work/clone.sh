# A repository of 5,000 files, its clone with and without hard links; all are whole and unchanged, also later.
set -eu
export GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@example.org GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@example.org
if [ "$1" = first ]; then
  mkdir -p /srv/git/origin
  cd /srv/git/origin
  git init -q -b main
  for directory in $(seq 100); do
    mkdir "$directory"
    for file in $(seq 50); do echo "$directory $file" >"$directory/$file"; done
  done
  git add -A
  git commit -qm 'All files'
  cd ..
  git clone -q origin linked
  git clone -q --no-hardlinks origin copied
  test "$(stat -c %h origin/.git/objects/??/* | sort -u)" = 2
  git -C linked mv 1 one
  git -C linked commit -qm 'Move a directory'
  git -C linked gc -q
fi
cd /srv/git
for repository in origin linked copied; do
  test -z "$(git -C $repository status --porcelain)"
  git -C $repository fsck --full --strict >/dev/null 2>&1
  git -C $repository ls-files | wc -l
done
