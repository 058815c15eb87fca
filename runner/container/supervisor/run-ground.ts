import { type Image } from '../../image/image.ts';
import { Cgroup } from '../cgroup/cgroup.ts';
import { Container } from '../container.ts';
import { type ContainerStore } from '../container-store.ts';
import { type MountedRoot, mountRoot } from '../driver/root.ts';
import { setOomScore } from '../oom-score.ts';
import { NetworkRun } from '../network/network-run.ts';
import { type NetworkState } from '../network/network-state.ts';
import { sharedContainer } from '../network/shared-network.ts';
import { type ContainerOptions } from '../options/container-options.ts';
import { hostnameOf } from '../options/process.ts';
import { giveFiles, giveIds, giveStandardFiles } from '../user-namespace/give.ts';
import { VolumeUnions } from '../volume/volume-unions.ts';
import { type ContainerRun } from './run-of-container.ts';

/** What a run of a container stands on: made before its command is started, and cleared away after its end. */
export class RunGround {
  readonly #report: (message: string) => void;
  #root: MountedRoot | undefined;
  #volumes: VolumeUnions | undefined;
  cgroup: Cgroup | undefined;
  #network: NetworkRun | undefined;
  /** As it is once all is prepared. */
  network: NetworkState | undefined;

  /** @param report told of what cannot be cleared away. */
  constructor(report: (message: string) => void) {
    this.#report = report;
  }

  /** Where it rejects, `clear` is to be called all the same. */
  async prepare(
    container: Container,
    image: Image,
    containers: ContainerStore,
    { stage, group }: ContainerRun,
  ): Promise<void> {
    // As they are now: `lamina update` changes limits of a container that runs.
    const { options } = Container.open(container.directory);
    const { resources, security, network, process, namespaces } = options;
    // Its helper comes up while the rest is made.
    this.#network = new NetworkRun({
      container,
      options: network,
      hostname: hostnameOf(process, container.id),
      imagePorts: image.config.exposedPorts,
      namespace: stage.networkNamespace,
      sharedFiles: sharedContainer(network, containers)?.files,
      report: this.#report,
    });
    const mappings = namespaces.users?.mappings;
    if (mappings !== undefined && namespaces.users?.container === undefined) giveIds(stage.launcher, mappings);
    if (mappings !== undefined) giveStandardFiles(stage.launcher, mappings);
    if (resources.oomScoreAdj !== undefined) setOomScore(stage.pid, resources.oomScoreAdj);
    const mounting = this.#mount(container, options);
    // The kernel takes its time to move a process from group to group.
    const grouping = group ?? Cgroup.begin(container.id, stage.pid, resources, security.privileged).joined;
    const outcomes = await Promise.allSettled([grouping.then((cgroup) => (this.cgroup = cgroup)), mounting]);
    const failed = outcomes.find((outcome) => outcome.status === 'rejected');
    if (failed !== undefined) throw failed.reason;
    this.cgroup?.note(container.directory);
    this.network = await this.#network.ready;
    if (mappings !== undefined) giveFiles(container, mappings);
  }

  async #mount(container: Container, options: ContainerOptions): Promise<void> {
    this.#root = await mountRoot(container, options);
    this.#volumes = await VolumeUnions.mount(container);
  }

  /** To be called when the stage has ended. */
  async clear(): Promise<void> {
    await Promise.all([this.#network?.stop(), this.#unmount(), this.#endGroup()]);
  }

  async #unmount(): Promise<void> {
    await this.#volumes?.unmount(this.#report);
    await this.#root?.unmount(this.#report);
  }

  async #endGroup(): Promise<void> {
    // The kernel has this thread wait for each group, and another one for the unmount, which is under way by then.
    await new Promise((resolve) => setImmediate(resolve));
    try {
      await this.cgroup?.end();
    } catch (error) {
      this.#report(error instanceof Error ? error.message : String(error));
    }
  }
}
