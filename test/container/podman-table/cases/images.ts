import { about } from '../case.ts';
import { BASE as B } from '../images.ts';

export const changes = about('changes', [
  {
    name: 'diff',
    steps: [
      `it run --name c ${B} sh -c 'echo x >/srv/new; rm /srv/file; echo y >>/data/of-image; mkdir /made; ln -s x /made/l'`,
      'it diff c | sort',
      "it diff --format json c | tr -d ' \\n\\t'",
    ],
  },
  { name: 'diff of a container that changed nothing', steps: [`it run --name c ${B} true`, 'it diff c'] },
  {
    name: 'commit with --change',
    steps: [
      `it run --name c ${B} sh -c 'echo kept >/srv/kept'`,
      `it commit -q -a Ann -c 'CMD ["cat","/srv/kept"]' -c 'ENV NEW=yes' -c 'WORKDIR /data' -c 'LABEL l=m' -c 'USER guest' -c 'EXPOSE 80' c localhost/made:1 | wc -c`,
      'it run --rm localhost/made:1',
      "it inspect -f '{{.Config.Cmd}} {{.Config.WorkingDir}} {{.Config.User}} {{.Config.Labels.l}} {{.Author}} {{json .Config.ExposedPorts}}' localhost/made:1",
      "it inspect -f '{{range .Config.Env}}{{println .}}{{end}}' localhost/made:1 | sort",
      'it rmi localhost/made:1 >/dev/null',
      "it commit -c 'BOGUS x' c localhost/made:2",
    ],
  },
  {
    name: 'export and import',
    steps: [
      `it run --name c ${B} sh -c 'echo x >/srv/exported'`,
      'it export c >t.tar && tar -tf t.tar | grep -c srv/exported',
      'it export -o u.tar c && tar -xOf u.tar srv/exported',
      `it import -q -c 'CMD ["cat","/srv/exported"]' t.tar localhost/imported | wc -c`,
      'it run --rm localhost/imported',
      "it inspect -f '{{len .RootFS.Layers}} {{.Config.Cmd}}' localhost/imported",
      'it rmi localhost/imported >/dev/null',
    ],
  },
  {
    name: 'commit keeps what the container was given',
    steps: [
      `it create --name c -e E=1 -w /data -u guest ${B} echo x >/dev/null`,
      'it commit -q c localhost/made >/dev/null',
      "it inspect -f '{{.Config.Cmd}} {{.Config.WorkingDir}} {{.Config.User}}' localhost/made",
      "it inspect -f '{{range .Config.Env}}{{println .}}{{end}}' localhost/made | sort",
      'it rm c >/dev/null; it rmi localhost/made >/dev/null',
    ],
  },
]);

export const images = about('images', [
  {
    name: 'images, its format and filters',
    steps: [
      "it images --format '{{.Repository}}:{{.Tag}}' | sort",
      "it images --format '{{.ID}}' localhost/base",
      'it images -q localhost/base',
      'it images -q --no-trunc localhost/base',
      "it images --format '{{.Repository}}' -f label=origin=table | sort",
      "it images -f reference='localhost/b*' --format '{{.Repository}}'",
    ],
  },
  {
    name: 'images, the table',
    steps: ['it images localhost/base', 'it images -n localhost/base', 'it images --digests localhost/base'],
    normalise: [
      [/ +/g, ' '],
      [/ $/gm, ''],
      [/\d+ months ago/g, '<ago>'],
    ],
  },
  {
    name: 'history',
    steps: [
      "it history --format '{{.CreatedBy}}' localhost/base",
      'it history -q localhost/base',
      "it history --format '{{.Size}}' -H=false localhost/base",
    ],
  },
  {
    name: 'history, the table',
    steps: ['it history localhost/base'],
    normalise: [
      [/ +/g, ' '],
      [/ $/gm, ''],
      [/\d+ months ago/g, '<ago>'],
    ],
  },
  {
    name: 'tag and rmi',
    steps: [
      `it tag ${B} localhost/other:2`,
      'it rmi localhost/other:2',
      'it rmi localhost/other:2',
      `it tag ${B} localhost/o:1 localhost/o:2; it rmi localhost/o:1 localhost/o:2`,
      `it tag ${B} 'Bad Name'`,
    ],
  },
  {
    name: 'rmi of an image that a container is of',
    steps: [
      `it create --name c localhost/entry >/dev/null`,
      'it rmi localhost/entry',
      "it images --format '{{.Repository}}' localhost/entry",
    ],
  },
  {
    name: 'image inspect',
    steps: [
      "it image inspect -f '{{.Id}} {{.Architecture}} {{.Os}} {{.Config.Cmd}} {{.Config.Env}} {{len .RootFS.Layers}} {{.RootFS.Type}}' localhost/base",
      "it image inspect -f '{{.RepoTags}} {{.Created}} {{.Author}}' localhost/base",
      "it image inspect -f '{{json .Config.Entrypoint}} {{json .Config.Volumes}} {{.Config.User}} {{.Config.StopSignal}}' localhost/asks",
    ],
  },
  {
    name: 'save and load',
    steps: [
      'it save -q -o s.tar localhost/base && tar -tf s.tar | grep -c manifest.json',
      'it load -q -i s.tar',
      'it load -q <s.tar',
      'echo no >n; it load -i n',
    ],
    normalise: [[/oci\d+/g, 'oci<number>']],
  },
  {
    name: 'an image without its host name, and by its id',
    steps: [
      'it run --rm base echo short',
      `it run --rm $(it images -q localhost/base) echo id`,
      `it run --rm localhost/base:none true 2>&1 | tail -n 1 | wc -l`,
    ],
  },
]);
