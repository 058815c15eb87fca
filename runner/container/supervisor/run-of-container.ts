import { close } from '../../../fs/sys/file.ts';
import { type Cgroup } from '../cgroup/cgroup.ts';
import { storeRoot } from '../../image/store-root.ts';
import { ContainerStore } from '../container-store.ts';
import { withStageNetwork } from '../network/shared-network.ts';
import { openStageUsers, stageProcessesOf } from '../namespace-spec.ts';
import { type ContainerOptions } from '../options/container-options.ts';
import { SIGKILL } from '../signals.ts';
import { type LateExecutions } from '../exec/late-executions.ts';
import { StageProcess } from '../stage-process.ts';
import { type Attachment } from './attachment.ts';
import { type ContainerIo } from './container-io.ts';
import { Deferred, within } from './deferred.ts';

/** A stage that waits for its spec, and what its standard files are connected with. */
export interface Beginning {
  readonly stage: StageProcess;
  readonly io: ContainerIo;
  /** Of a container that nobody else can run yet: its control group, which is made meanwhile. */
  readonly group?: Promise<Cgroup | undefined>;
}

/** Starts the stage of a run. */
export async function beginRun(io: ContainerIo, { network, namespaces }: ContainerOptions): Promise<Beginning> {
  const containers = (): ContainerStore => new ContainerStore(storeRoot());
  const stage = await withStageNetwork(network, containers, async (namespace) => {
    const users = openStageUsers(namespaces, storeRoot());
    try {
      const processes = stageProcessesOf(namespaces, storeRoot());
      return await StageProcess.spawn(io.files, { network: namespace, processes, users });
    } finally {
      if (typeof users === 'number') close(users);
    }
  });
  io.handOver();
  return { stage, io };
}

/** A run of a container, from its stage to the end of all its processes: each start begins one. */
export class ContainerRun {
  readonly stage: StageProcess;
  readonly io: ContainerIo;
  readonly group: Beginning['group'];
  readonly attachments: Attachment[] = [];
  /** Those who have been added since the command runs. */
  executions: LateExecutions | undefined;
  /** Settled once the command runs, or cannot. */
  readonly started = new Deferred<undefined>();
  /** Resolved with the exit code once it is in the container's state. */
  readonly ended = new Deferred<number>();
  /** The one that follows; rejected where none does. */
  readonly next = new Deferred<ContainerRun>();
  /** No policy is to start another one after it. */
  isLast = false;
  /** It is ended for the sake of the next one. */
  isRestarted = false;

  constructor({ stage, io, group }: Beginning) {
    this.stage = stage;
    this.io = io;
    this.group = group;
  }

  /**
   * Ends it as `docker stop` does; resolves when it has ended.
   *
   * @param seconds from the signal to SIGKILL; negative for no end of it.
   */
  async stop(signal: number, seconds: number): Promise<void> {
    await this.started.promise.catch(() => undefined);
    this.stage.kill(signal);
    if (seconds >= 0) {
      await within(this.stage.exited, seconds * 1000);
      this.stage.kill(SIGKILL);
    }
    await this.ended.promise;
  }
}
