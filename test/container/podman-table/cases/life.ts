import { about } from '../case.ts';
import { BASE as B } from '../images.ts';

export const life = about('life', [
  {
    name: 'run -d, logs, wait',
    steps: [
      `it run -d --name c ${B} sh -c 'echo one; sleep 0.3; echo err >&2; sleep 0.3; echo two'`,
      'it wait c',
      'it logs c',
      'it logs --tail 1 c',
      'it logs --tail 0 c',
      'it logs --since 1h c',
      'it logs --until 1h c',
    ],
  },
  { name: 'logs -t', steps: [`it run --name c ${B} echo line`, 'it logs -t c'] },
  {
    name: 'logs -f follows to the end',
    steps: [`it run -d --name c ${B} sh -c 'for i in 1 2 3; do echo $i; sleep 0.2; done' >/dev/null`, 'it logs -f c'],
  },
  {
    name: 'stop, at once and after its timeout',
    steps: [
      `it run -d --name c ${B} sh -c 'trap "exit 3" TERM; echo ready; while :; do sleep 0.1; done' >/dev/null; until it logs c | grep -q ready; do :; done; it stop c`,
      'it wait c',
      `it run -d --name d ${B} sleep 100 >/dev/null`,
      'it stop -t 1 d',
      "it inspect -f '{{.State.ExitCode}} {{.State.Status}}' d",
      'it stop d',
    ],
  },
  {
    name: 'stop signal of the image',
    steps: [
      `it run -d --name c localhost/asks sh -c 'trap "exit 4" INT; echo ready; while :; do sleep 0.1; done' >/dev/null; until it logs c | grep -q ready; do :; done; it stop c; it wait c`,
    ],
  },
  {
    name: 'kill',
    steps: [`it run -d --name c ${B} sleep 100 >/dev/null`, 'it kill -s CONT c', 'it kill c', 'it wait c'],
  },
  {
    name: 'create, start, start -a',
    steps: [
      `it create --name c ${B} sh -c 'echo hello; exit 6'`,
      "it inspect -f '{{.State.Status}} {{.State.ExitCode}}' c",
      'it start c',
      'it wait c',
      'it start -a c',
      'it logs c',
    ],
  },
  { name: 'start -ai', steps: [`it create -i --name c ${B} cat >/dev/null`, 'echo typed | it start -ai c'] },
  {
    name: 'restart',
    steps: [
      `it run -d --name c ${B} sleep 100 >/dev/null`,
      'it restart -t 0 c',
      "it inspect -f '{{.State.Status}} {{.RestartCount}}' c",
    ],
  },
  {
    name: '--restart on-failure',
    steps: [
      `it run -d --restart on-failure:2 --name c ${B} sh -c 'echo try; exit 1' >/dev/null; it wait c`,
      "sleep 1; until it inspect -f '{{.State.Status}} {{.RestartCount}}' c | grep 'exited 2'; do sleep 0.2; done",
      'it logs c',
      "it inspect -f '{{.HostConfig.RestartPolicy.Name}} {{.HostConfig.RestartPolicy.MaximumRetryCount}}' c",
    ],
  },
  {
    name: 'rename',
    steps: [
      `it create --name c ${B} true >/dev/null`,
      'it rename c d',
      "it ps -a --format '{{.Names}}'",
      'it inspect c 2>&1 | wc -l',
    ],
  },
  {
    name: 'pause, unpause',
    steps: [
      `it run -d --name c ${B} sleep 100 >/dev/null`,
      'it pause c',
      "it inspect -f '{{.State.Status}} {{.State.Paused}} {{.State.Running}}' c",
      'it unpause c',
      "it inspect -f '{{.State.Status}}' c",
    ],
  },
  {
    name: 'wait for several',
    steps: [
      `it run -d --name c ${B} sh -c 'exit 1' >/dev/null; it run -d --name d ${B} sh -c 'exit 2' >/dev/null`,
      'it wait c d',
    ],
  },
  {
    name: 'a name that is taken',
    steps: [
      `it create --name c ${B} true >/dev/null`,
      `it run --name c ${B} true`,
      `it run --rm --replace --name c ${B} echo replaced`,
    ],
  },
  {
    name: 'rm',
    steps: [
      `it run -d --name c ${B} sleep 100 >/dev/null`,
      'it rm -f -t 0 c',
      'it rm -f c',
      'it rm -i c',
      `it create --name d ${B} true >/dev/null; it rm d`,
    ],
  },
  {
    name: 'containers by the first digits of their ids',
    steps: [
      `id=$(it create --name c ${B} true)`,
      `it inspect -f '{{.Name}}' $(echo $id | cut -c1-12)`,
      `it rm $(echo $id | cut -c1-8) | wc -c`,
    ],
  },
  {
    name: '--cidfile, --label',
    steps: [
      `it create --cidfile id --name c -l a=b -l alone ${B} true >/dev/null`,
      'wc -c <id',
      "it inspect -f '{{json .Config.Labels}}' c",
      `it run --cidfile id ${B} true`,
    ],
  },
  {
    name: 'attach',
    steps: [`it run -d --name c ${B} sh -c 'sleep 1; echo said; exit 8' >/dev/null`, 'it attach --no-stdin c'],
  },
  { name: 'top', steps: [`it run -d --name c ${B} sleep 100 >/dev/null`, 'it top c -o args'] },
  {
    name: 'container exists',
    steps: [`it create --name c ${B} true >/dev/null`, 'it container exists c', 'it container exists d'],
  },
]);

export const listing = about('ps and inspect', [
  {
    name: 'ps -a, --format, --filter',
    steps: [
      `it create --name c -l tier=web ${B} sleep 100 >/dev/null; it run -d --name d ${B} sleep 100 >/dev/null; it run --name e ${B} sh -c 'exit 3'`,
      "it ps --format '{{.Names}} {{.Image}} {{.State}}'",
      "it ps -a --format '{{.Names}}|{{.Status}}|{{.State}}|{{.Command}}' --sort names",
      "it ps -a --format '{{.Names}}' -f status=exited",
      "it ps -a --format '{{.Names}}' -f label=tier=web",
      "it ps -a --format '{{.Names}}' -f exited=3",
      "it ps -a --format '{{.Names}}' -f name=d",
      "it ps -a --format '{{.Names}}' -f ancestor=localhost/base --sort names",
      'it ps -aq | wc -l',
      'it ps -q --no-trunc | wc -c',
      'it ps -l --format {{.Names}}',
      'it ps -n 2 --format {{.Names}}',
    ],
  },
  {
    name: 'ps, the table',
    steps: [
      `it create --name c ${B} sleep 100 >/dev/null`,
      'it ps -a',
      'it ps',
      "it ps -a --format 'table {{.Names}} {{.Image}}'",
      'it ps -a --noheading',
    ],
    normalise: [
      [/ +/g, ' '],
      [/ $/gm, ''],
    ],
  },
  {
    name: 'inspect: state',
    steps: [
      `it run --name c ${B} sh -c 'exit 4'`,
      "it inspect -f '{{.State.Status}} {{.State.Running}} {{.State.Paused}} {{.State.Restarting}} {{.State.OOMKilled}} {{.State.Dead}} {{.State.Pid}} {{.State.ExitCode}} {{.State.Error}}' c",
      "it inspect -f '{{.State.StartedAt}}' c",
      "it inspect -f '{{.Name}} {{.RestartCount}} {{.Platform}} {{.Path}} {{.Args}}' c",
      "it inspect -f '{{.Id}} {{.Image}} {{.Created}}' c",
    ],
  },
  {
    name: 'inspect: Config',
    steps: [
      `it create --name c -h box -u guest -w /srv -e A=1 -l k=v --stop-signal USR1 --stop-timeout 7 -it ${B} echo hi >/dev/null`,
      "it inspect -f '{{.Config.Hostname}} {{.Config.User}} {{.Config.WorkingDir}} {{.Config.Cmd}} {{.Config.Entrypoint}} {{.Config.Image}}' c",
      "it inspect -f '{{.Config.Tty}} {{.Config.OpenStdin}} {{.Config.StdinOnce}} {{.Config.AttachStdin}}' c",
      "it inspect -f '{{range .Config.Env}}{{println .}}{{end}}' c | sort",
      "it inspect -f '{{.Config.StopSignal}}' c",
      "it inspect -f '{{json .Config.Labels}}' c",
      "it inspect -f '{{.Config.StopTimeout}}' c",
    ],
  },
  {
    name: 'inspect: Entrypoint and Cmd',
    steps: [
      'it create --name c localhost/entry >/dev/null; it create --name d localhost/entry x y >/dev/null',
      "it inspect -f '{{json .Config.Entrypoint}} {{json .Config.Cmd}} {{.Path}} {{json .Args}}' c d",
    ],
  },
  {
    name: 'inspect: HostConfig',
    steps: [
      `it create --name c --cap-add NET_ADMIN --cap-drop CHOWN --read-only --privileged --init --shm-size 1m --restart always --dns 10.1.1.1 --add-host a:1.2.3.4 --group-add 5 --pids-limit 7 --oom-score-adj 3 ${B} >/dev/null`,
      "it inspect -f '{{.HostConfig.Privileged}} {{.HostConfig.ReadonlyRootfs}} {{.HostConfig.AutoRemove}} {{.HostConfig.Init}} {{.HostConfig.PidsLimit}} {{.HostConfig.ShmSize}} {{.HostConfig.OomScoreAdj}}' c",
      "it inspect -f '{{.HostConfig.NetworkMode}} {{.HostConfig.PidMode}} {{.HostConfig.IpcMode}} {{.HostConfig.UTSMode}} {{.HostConfig.RestartPolicy.Name}}' c",
      "it inspect -f '{{.HostConfig.CapAdd}} {{.HostConfig.CapDrop}}' c",
      "it inspect -f '{{.HostConfig.Dns}} {{.HostConfig.ExtraHosts}} {{.HostConfig.GroupAdd}}' c",
      "it inspect -f '{{.HostConfig.Binds}} {{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.CpuShares}} {{.HostConfig.CpusetCpus}}' c",
      "it inspect -f '{{.HostConfig.LogConfig.Type}}' c",
    ],
  },
  {
    name: 'inspect: Mounts and Binds',
    steps: [
      'mkdir d',
      `it create --name c -v "$PWD/d:/m:ro" -v vol:/v --tmpfs /t ${B} >/dev/null`,
      "it inspect -f '{{range .Mounts}}{{.Type}} {{.Name}} {{.Destination}} {{.RW}} {{.Driver}}{{println}}{{end}}' c",
      "it inspect -f '{{range .HostConfig.Binds}}{{println .}}{{end}}' c | sort",
      "it inspect -f '{{.HostConfig.Tmpfs}}' c",
      'it rm c; it volume rm vol',
    ],
    normalise: [[/,rprivate|,nosuid|,nodev|,rbind/g, '']],
  },
  {
    name: 'inspect: NetworkSettings and ports',
    steps: [
      `it create --name c ${B} >/dev/null`,
      "it inspect -f '{{.NetworkSettings.IPAddress}}|{{json .NetworkSettings.Ports}}|{{.NetworkSettings.Gateway}}|{{.NetworkSettings.MacAddress}}' c",
      'it port c',
    ],
  },
  {
    name: 'inspect: of a type',
    steps: [
      `it create --name c ${B} >/dev/null`,
      "it inspect --type container -f '{{.Name}}' c",
      "it container inspect -f '{{.Config.Image}}' c",
      "it inspect --type image -f '{{.Os}}' localhost/base",
      "it inspect -f '{{.Os}}' localhost/base",
    ],
  },
]);
