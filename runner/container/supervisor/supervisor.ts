import { existsSync } from 'node:fs';
import { type Socket } from 'node:net';
import { LateExecutions } from '../exec/late-executions.ts';
import { type Image } from '../../image/image.ts';
import { type Store } from '../../image/store.ts';
import { isPaused, letGoOn } from '../cgroup/pausing.ts';
import { type Confinement, confinementOf } from '../confinement.ts';
import { Container, type ContainerState, isLive } from '../container.ts';
import { type ContainerStore } from '../container-store.ts';
import { JsonLog } from '../logs/json-log.ts';
import { type ContainerOptions } from '../options/container-options.ts';
import { imageOfContainer } from '../directories.ts';
import { identify } from '../process-identity.ts';
import { SIGKILL, signalNumber } from '../signals.ts';
import { EXIT, RunError } from '../spec.ts';
import { stageSpec } from '../stage-spec.ts';
import { forgetVolatile } from '../union.ts';
import { removeAnonymousVolumes } from '../volume/anonymous-volumes.ts';
import { AlreadyLive } from './already-live.ts';
import { Attachment } from './attachment.ts';
import { type ContainerIo } from './container-io.ts';
import {
  type AttachRequest,
  type ControlAnswer,
  type ControlRequest,
  type ExecRequest,
  type StopRequest,
} from './control-protocol.ts';
import { type ControlHandler, ControlServer } from './control-server.ts';
import { Deferred, within } from './deferred.ts';
import { RestartSchedule } from './restart-schedule.ts';
import { RunGround } from './run-ground.ts';
import { type Beginning, ContainerRun } from './run-of-container.ts';

/** What a supervisor works with. */
export interface SupervisorTools {
  readonly store: Store;
  /** The container's, for who has it. */
  readonly image?: Image;
  readonly containers: ContainerStore;
  /** Makes what a run begins with; called for every run but the first. */
  readonly begin: () => Promise<Beginning>;
  /** Told of what goes wrong while the container runs. */
  readonly report: (message: string) => void;
  /** The command of the first run is not started before; where it rejects, not at all. */
  readonly mayBegin?: Promise<void>;
  /** In place of the exit code, where the start was given up. */
  readonly abortCode?: () => number | undefined;
}

// Docker's, and podman's.
const STOP_SECONDS = 10;

/**
 * Runs a container: mounts and serves its union, starts its first process, keeps its log, answers at its control socket,
 * writes its state, and starts it anew as its restart policy says. It lives in the process of `lamina run`, or in one of
 * its own.
 *
 * It never touches the mounted union: killed with a request to itself under way, it would wait for ever for the answer.
 */
export class Supervisor implements ControlHandler {
  readonly #container: Container;
  readonly #options: ContainerOptions;
  readonly #image: Image;
  readonly #tools: SupervisorTools;
  readonly #schedule: RestartSchedule;
  readonly #attached = new Deferred<undefined>();
  /** Resolved when all is done that there is to do. */
  readonly #end = new Deferred<undefined>();
  /** Resolved where it is not to wait any longer before it starts the container anew. */
  #hurry = new Deferred<undefined>();
  #isStopping = false;
  #run: ContainerRun;
  #listening: Promise<ControlServer> | undefined;
  #state: ContainerState;

  /** @throws where somebody else is at work on the container. */
  constructor(container: Container, first: Beginning, tools: SupervisorTools) {
    this.#container = container;
    this.#options = container.options;
    this.#tools = tools;
    this.#image = tools.image ?? imageOfContainer(tools.store, container);
    this.#schedule = new RestartSchedule(() => Container.open(container.directory).options.lifecycle.restart);
    this.#run = new ContainerRun(first);
    this.#state = this.#claim();
  }

  #claim(): ContainerState {
    return this.#container.locked(() => {
      const before = this.#container.readState();
      if (isLive(before) && before.supervisor?.pid !== process.pid) {
        throw new AlreadyLive(`container ${this.#container.config.name} is running already`);
      }
      const state = startingState(this.#run);
      this.#container.writeState(state);
      return state;
    });
  }

  /** Settled once the command of the first run runs, or cannot. */
  get started(): Promise<undefined> {
    return this.#run.started.promise;
  }

  /** Resolves when a client is attached. */
  get attached(): Promise<undefined> {
    return this.#attached.promise;
  }

  /** Sends a signal to the first process of the run that is under way. */
  kill(signal: number): void {
    letGoOn(this.#container);
    this.#run.stage.kill(signal);
  }

  /** Ends the container as `docker stop` does, but for that its restart policy may start it again after a reboot. */
  end(): void {
    this.#isStopping = true;
    this.#hurry.resolve(undefined);
    letGoOn(this.#container);
    void this.#run.stop(this.#stopSignal(), this.#stopSeconds());
  }

  /** Resolves once the control socket can be connected to. */
  async listen(): Promise<void> {
    this.#listening = aside().then(() => ControlServer.listen(this.#container.directory, this));
    await this.#listening;
  }

  /**
   * Runs the container until it ends for good; answers docker's exit code.
   *
   * @throws RunError where it cannot be started.
   */
  async supervise(): Promise<number> {
    try {
      for (;;) {
        const run = this.#run;
        const begun = Date.now();
        const exitCode = await this.#runOnce(run);
        if (!(await this.#follow(run, exitCode, Date.now() - begun))) return exitCode;
      }
    } finally {
      await this.#finish();
    }
  }

  async #runOnce(run: ContainerRun): Promise<number> {
    const { io, stage } = run;
    const ground = new RunGround(this.#tools.report);
    try {
      this.#openLog(io);
      const confinement = this.#confine();
      await ground.prepare(this.#container, this.#image, this.#tools.containers, run);
      await this.#tools.mayBegin;
      await this.#execute(run, ground, await confinement);
      const status = await stage.exited;
      const exitCode = this.#tools.abortCode?.() ?? status;
      this.#state = {
        ...this.#state,
        exitCode,
        ...(ground.cgroup?.hasRunOutOfMemory === true ? { oomKilled: true } : {}),
      };
      return exitCode;
    } catch (error) {
      this.#fail(run, error);
      throw error;
    } finally {
      stage.kill(SIGKILL);
      await stage.exited;
      for (const attachment of run.attachments) attachment.release();
      await run.executions?.close();
      await io.drain();
      await ground.clear();
    }
  }

  #openLog({ output }: ContainerIo): void {
    const { driver, maxSize, maxFile } = this.#options.lifecycle.log;
    if (driver === 'none') return;
    output?.keep(new JsonLog(this.#container.log, { maxSize, maxFile }, this.#tools.report));
  }

  #confine(): Promise<Confinement> {
    const confinement = aside().then(() => confinementOf(this.#options, this.#tools.store.root));
    // Who waits for it may never come to that.
    confinement.catch(() => undefined);
    return confinement;
  }

  /** Until the command runs. */
  async #execute(run: ContainerRun, { cgroup, network }: RunGround, confinement: Confinement): Promise<void> {
    const { io, stage } = run;
    const spec = stageSpec(this.#container, this.#image, { cgroup, confinement, size: io.size });
    stage.send(spec);
    io.adopt?.(await stage.terminal());
    const failure = await stage.failure;
    if (failure !== undefined) throw new RunError(failure.message, failure.exitCode);
    const groups = cgroup?.record.directories.map(({ path }) => path) ?? [];
    run.executions = new LateExecutions(stage.pid, spec, groups);
    const rootChange = await stage.rootChange;
    this.#update({
      status: 'running',
      started: now(),
      ...(rootChange === undefined ? {} : { rootChange }),
      ...(network === undefined ? {} : { network }),
    });
    run.started.resolve(undefined);
  }

  #fail(run: ContainerRun, error: unknown): void {
    const known = error instanceof Error ? error : new Error(String(error));
    const exitCode = known instanceof RunError ? known.exitCode : EXIT.ownError;
    this.#state = { ...this.#state, error: known.message, exitCode };
    run.started.reject(known);
  }

  /** Begins another run after one that has ended, where there is to be one. */
  async #follow(run: ContainerRun, exitCode: number, ran: number): Promise<boolean> {
    if (this.#isStopping) return false;
    const pause = run.isRestarted ? 0 : run.isLast ? undefined : this.#schedule.next(exitCode, ran);
    if (pause === undefined) return false;
    this.#update({ status: 'restarting', finished: now(), exitCode, restartCount: this.#schedule.count });
    this.#settle(run, exitCode);
    await within(this.#hurry.promise, pause);
    if (this.#wasStopped()) return false;
    forgetVolatile(this.#container);
    const beginning = await this.#tools.begin();
    if (this.#wasStopped()) {
      await giveUp(beginning);
      return false;
    }
    this.#run = new ContainerRun(beginning);
    const { restartCount = 0 } = this.#state;
    this.#update({ ...startingState(this.#run), restartCount });
    run.next.resolve(this.#run);
    return true;
  }

  // What is asked for while something is waited for.
  #wasStopped(): boolean {
    return this.#isStopping;
  }

  /** Tells all who wait for the end of a run. */
  #settle(run: ContainerRun, exitCode: number): void {
    run.ended.resolve(exitCode);
    for (const attachment of run.attachments) attachment.end(exitCode);
  }

  async #finish(): Promise<void> {
    const { exitCode = EXIT.ownError } = this.#state;
    const server = await this.#listening?.catch(() => undefined);
    // First: who finds no socket looks at the state, and tries again while that says that we are at work.
    server?.close();
    this.#update({ status: 'exited', finished: now(), exitCode });
    if (this.#options.lifecycle.remove) this.#remove();
    this.#settle(this.#run, exitCode);
    this.#run.next.reject(new Error(`container ${this.#container.config.name} has been stopped`));
    this.#end.resolve(undefined);
    await server?.flush();
  }

  #remove(): void {
    try {
      const { mounts } = this.#container;
      this.#tools.containers.remove(this.#container);
      removeAnonymousVolumes(this.#tools.store.root, mounts);
    } catch (error) {
      // Somebody else was faster.
      if (!existsSync(this.#container.directory)) return;
      this.#tools.report(`container ${this.#container.config.name} could not be removed: ${messageOf(error)}`);
    }
  }

  #update(changes: Partial<ContainerState>): void {
    this.#state = { ...this.#state, ...changes };
    try {
      this.#container.writeState(this.#state);
    } catch (error) {
      this.#tools.report(messageOf(error));
    }
  }

  async answer(request: Exclude<ControlRequest, AttachRequest | ExecRequest>): Promise<ControlAnswer> {
    // As docker has it: one that is paused goes on where it is to take a signal.
    if (request.do !== 'wait') letGoOn(this.#container);
    switch (request.do) {
      case 'signal':
        return this.#signal(request.signal);
      case 'stop':
        return this.#stop(request);
      case 'restart':
        return this.#restart(request);
      case 'wait':
        if (request.until === 'end') await this.#end.promise;
        return { exitCode: await this.#run.ended.promise };
      default:
        throw new Error('the container was started by an older lamina, which does not know how to do that');
    }
  }

  async #signal(signal: number): Promise<ControlAnswer> {
    const run = this.#run;
    await run.started.promise.catch(() => undefined);
    if (this.#state.status !== 'running') throw new Error('it is not running');
    // As docker has it: who kills does not want it to come again.
    if (signal === SIGKILL || signal === this.#stopSignal()) run.isLast = true;
    run.stage.kill(signal);
    return {};
  }

  async #stop({ signal, seconds }: StopRequest): Promise<ControlAnswer> {
    this.#isStopping = true;
    this.#update({ stopped: true });
    this.#hurry.resolve(undefined);
    await this.#run.stop(signal ?? this.#stopSignal(), seconds ?? this.#stopSeconds());
    await this.#end.promise;
    return { exitCode: this.#state.exitCode };
  }

  async #restart({ signal, seconds }: StopRequest): Promise<ControlAnswer> {
    const run = this.#run;
    run.isRestarted = true;
    this.#hurry.resolve(undefined);
    await run.stop(signal ?? this.#stopSignal(), seconds ?? this.#stopSeconds());
    const next = await run.next.promise;
    this.#hurry = new Deferred();
    await next.started.promise;
    return {};
  }

  #stopSignal(): number {
    return signalNumber(this.#container.config.stopSignal ?? 'TERM');
  }

  #stopSeconds(): number {
    return this.#options.lifecycle.stopTimeout ?? STOP_SECONDS;
  }

  exec(request: ExecRequest, socket: Socket): void {
    const { executions } = this.#run;
    const isRunning = executions !== undefined && this.#state.status === 'running';
    const why = isRunning ? undefined : 'it is not running';
    // What joins a group that is held still stands still itself.
    const error = why ?? (isPaused(this.#container) ? 'it is paused: unpause it first' : undefined);
    if (error !== undefined) socket.end(`${JSON.stringify({ error })}\n`);
    else executions?.add(request, socket);
  }

  attach(request: AttachRequest, socket: Socket): void {
    const run = this.#run;
    const why =
      run.io.output === undefined ? 'what it writes goes straight to its client (log driver none)' : undefined;
    if (why !== undefined || this.#state.status === 'exited') {
      socket.end(`${JSON.stringify({ error: why ?? 'it is not running' })}\n`);
      return;
    }
    run.attachments.push(new Attachment(socket, request, run.io, this.#options.lifecycle.stdinOnce));
    this.#attached.resolve(undefined);
  }
}

async function giveUp({ stage, io }: Beginning): Promise<void> {
  stage.kill(SIGKILL);
  await stage.exited;
  await io.drain();
}

/** Resolves once others are at work on what a container stands on, and this thread has nothing to do but to wait. */
function aside(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

function startingState({ stage }: ContainerRun): ContainerState {
  const supervisor = identify(process.pid);
  const init = identify(stage.pid);
  return {
    status: 'starting',
    ...(supervisor === undefined ? {} : { supervisor }),
    ...(init === undefined ? {} : { init }),
  };
}

function now(): string {
  return new Date().toISOString();
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
