import { about } from '../case.ts';
import { BASE as B } from '../images.ts';

export const files = about('files', [
  {
    name: '/etc/hosts',
    steps: [`it run --rm -h box --add-host db:10.0.0.5 --add-host web:10.0.0.6 ${B} grep -E '(db|web)$' /etc/hosts`],
    normalise: [[/[\t ]+/g, ' ']],
  },
  {
    name: '--add-host, malformed',
    steps: [`it run --rm --add-host db ${B} true`, `it run --rm --add-host db:no-ip ${B} true`],
  },
  { name: '--no-hosts', steps: [`it run --rm --no-hosts ${B} cat /etc/hosts`] },
  {
    name: '/etc/resolv.conf of --dns',
    steps: [
      `it run --rm --net private --dns 10.9.9.9 --dns-search example.org --dns-opt ndots:3 ${B} cat /etc/resolv.conf`,
    ],
  },
  {
    name: '--hostname is in all places',
    steps: [`it run --rm --hostname a.example.org ${B} sh -c 'cat /etc/hostname /proc/sys/kernel/hostname; uname -n'`],
  },
  {
    name: '--read-only',
    steps: [
      `it run --rm --read-only ${B} sh -c 'touch /srv/x; touch /tmp/x /run/x /var/tmp/x /dev/shm/x && echo writable'`,
      `it run --rm --read-only --read-only-tmpfs=false ${B} sh -c 'touch /tmp/x || echo not'`,
    ],
  },
  {
    name: '--tmpfs and its options',
    steps: [
      `it run --rm --tmpfs /mem --tmpfs /small:size=1m,mode=700,noexec ${B} sh -c 'grep " /mem \\| /small " /proc/mounts; stat -c "%a %u" /mem /small'`,
    ],
    normalise: [[/,[ug]id=\d+/g, '']],
  },
  {
    name: '--tmpfs over a directory of the image',
    steps: [
      `it run --rm --tmpfs /data ${B} ls /data`,
      `it run --rm --mount type=tmpfs,dst=/data,tmpfs-size=1m ${B} sh -c 'ls /data; grep -c " /data tmpfs" /proc/mounts'`,
    ],
  },
  {
    name: '--tmpfs, unknown option',
    steps: [`it run --rm --tmpfs /mem:bogus ${B} true`, `it run --rm --tmpfs relative ${B} true`],
  },
  {
    name: '-v, writable and read-only, of a directory',
    steps: [
      'mkdir dir; echo host >dir/f',
      `it run --rm -v "$PWD/dir:/mnt/x" ${B} sh -c 'cat /mnt/x/f; echo new >/mnt/x/g'`,
      'cat dir/g',
      `it run --rm -v "$PWD/dir:/mnt/x:ro" ${B} sh -c 'echo no >/mnt/x/h'`,
      'ls dir',
    ],
  },
  {
    name: '-v, of a file',
    steps: [
      'echo host >f',
      `it run --rm -v "$PWD/f:/srv/file" -v "$PWD/f:/new/place" ${B} sh -c 'cat /srv/file /new/place; echo more >>/srv/file'`,
      'cat f',
    ],
  },
  {
    name: '-v, a source that is not there',
    steps: [`it run --rm -v "$PWD/missing:/x" ${B} true`, 'test -e missing && echo made'],
  },
  {
    name: '-v, malformed',
    steps: [
      `it run --rm -v a:b:c:d ${B} true`,
      `it run --rm -v /tmp:relative ${B} true`,
      `it run --rm -v /tmp:/x:bogus ${B} true`,
      `it run --rm -v /tmp:/ ${B} true`,
    ],
  },
  { name: '-v, two at one place', steps: [`it run --rm -v /tmp:/x -v /var:/x ${B} true`] },
  {
    name: '-v of a named volume, which takes over what the image has',
    steps: [
      `it run --rm -v vol:/data ${B} sh -c 'cat /data/of-image; echo kept >/data/mine'`,
      `it run --rm -v vol:/elsewhere:ro ${B} sh -c 'cat /elsewhere/*; touch /elsewhere/x'`,
      'it volume ls -q',
      'it volume rm vol',
      'it volume rm vol',
    ],
  },
  {
    name: '--mount, bind',
    steps: [
      'mkdir d; echo x >d/f',
      `it run --rm --mount type=bind,src="$PWD/d",dst=/m,ro ${B} sh -c 'cat /m/f; touch /m/g'`,
      `it run --rm --mount type=bind,source="$PWD/d",target=/m ${B} touch /m/g && ls d`,
      `it run --rm --mount type=bind,src="$PWD/none",dst=/m ${B} true`,
      `it run --rm --mount type=bind,dst=/m ${B} true`,
      `it run --rm --mount type=bogus,dst=/m ${B} true`,
    ],
  },
  {
    name: '--mount, volume',
    steps: [
      `it run --rm --mount type=volume,src=vol,dst=/data ${B} ls /data`,
      `it run --rm --mount type=volume,src=vol,dst=/m,ro ${B} touch /m/x`,
      'it volume rm vol',
    ],
  },
  {
    name: 'anonymous volumes of the image',
    steps: [
      'it create --name c localhost/asks ls /data >/dev/null',
      "it inspect -f '{{range .Mounts}}{{.Type}} {{.Destination}} {{.RW}}{{end}}' c",
      'it start -a c',
      'it volume ls -q',
      'it rm -v c',
      'it volume ls -q',
    ],
  },
  {
    name: '--rm removes anonymous volumes',
    steps: ['it run --rm localhost/asks true; it run --rm -v /anon localhost/base true', 'it volume ls -q'],
  },
  {
    name: '--volumes-from',
    steps: [
      'mkdir d; echo x >d/f',
      `it create --name from -v "$PWD/d:/m" -v vol:/v ${B} true >/dev/null`,
      `it run --rm --volumes-from from ${B} sh -c 'cat /m/f; touch /m/g /v/h'`,
      `it run --rm --volumes-from from:ro ${B} sh -c 'touch /m/i'`,
      `it run --rm --volumes-from none ${B} true`,
      'ls d; it rm from; it volume rm vol',
    ],
  },
  {
    name: 'volume create, inspect, ls, rm, prune',
    steps: [
      'it volume create vol',
      'it volume create vol',
      "it volume inspect -f '{{.Name}} {{.Driver}} {{.Scope}}' vol",
      'it volume create -l a=b labelled',
      'it volume ls -q -f label=a=b',
      `it volume ls --format '{{.Name}} {{.Driver}}'`,
      'it volume rm vol labelled',
      'it volume ls',
    ],
  },
  {
    name: 'volume in use',
    steps: [
      `it create --name c -v vol:/v ${B} true >/dev/null`,
      'it volume rm vol',
      'it volume prune -f; it volume ls -q',
      'it rm c && it volume rm vol',
    ],
  },
]);
