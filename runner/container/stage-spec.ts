import { join } from 'node:path';
import { type TerminalSize } from '../../fs/sys/terminal.ts';
import { type Image } from '../image/image.ts';
import { type Cgroup } from './cgroup/cgroup.ts';
import { cgroupMounts } from './cgroup/group.ts';
import { type Confinement } from './confinement.ts';
import { type Container } from './container.ts';
import { INIT_PATH, initVolume } from './init-program.ts';
import { hasOwnNetwork } from './network/mode.ts';
import { type ProcessOptions, environmentOf, hostnameOf, workdirOf } from './options/process.ts';
import { type KeptUser } from './options/user-namespace.ts';
import { type MountSpec, type StageSpec } from './spec.ts';
import { stageMounts } from './volume/stage-mounts.ts';

/** What is known only when a container is started. */
export interface StageMeans {
  readonly cgroup: Cgroup | undefined;
  readonly confinement: Confinement;
  /** Of the terminal, where there is to be one. */
  readonly size: TerminalSize | undefined;
}

/** What the stage of a container is given. */
export function stageSpec(container: Container, image: Image, { cgroup, confinement, size }: StageMeans): StageSpec {
  const { options } = container;
  const { process, mounts, network, namespaces } = options;
  const kept = namespaces.users?.kept;
  const hostname = hostnameOf(process, container.id);
  return {
    rootfs: container.merged,
    hostname,
    process: {
      args: process.init === undefined ? container.config.args : [INIT_PATH, '--', ...container.config.args],
      env: environmentOf(process, image, hostname),
      workdir: workdirOf(process, image),
      createWorkdir: process.workdir === undefined,
      user: process.user ?? (kept === undefined ? image.config.user : `${kept.uid}:${kept.gid}`),
      passwdFile: join(container.files, 'passwd'),
      groupFile: join(container.files, 'group'),
      kept: kept === undefined ? undefined : { ...kept, home: homeOf(kept, container.mounts) },
      terminal: process.terminal ? { size } : undefined,
    },
    mounts: withInit(stageMounts(container, mounts), process),
    network: { own: hasOwnNetwork(network) },
    hasOwnUsers: namespaces.users?.mappings !== undefined,
    cgroup: { mounts: cgroup === undefined ? [] : cgroupMounts(cgroup.record) },
    ...confinement,
  };
}

/** As podman has it: his home where it is there, by a mount, else where the command begins. */
function homeOf({ home }: KeptUser, mounts: readonly { readonly destination: string }[]): string | undefined {
  const isMounted = mounts.some(({ destination }) => home === destination || home?.startsWith(`${destination}/`));
  return isMounted ? home : undefined;
}

function withInit(mounts: MountSpec, { init }: ProcessOptions): MountSpec {
  return init === undefined ? mounts : { ...mounts, volumes: [...mounts.volumes, initVolume(init)] };
}
