import { join } from 'node:path';
import { toText } from '../../fs/sys/bytes.ts';
import { type Container, type ContainerState, liveStatus } from './container.ts';
import { labelsOf, statusOf } from './filters.ts';
import { inspectExposed, inspectNetwork, inspectNetworkOptions } from './network/inspect-network.ts';
import { type ContainerOptions } from './options/container-options.ts';
import { securityConfig } from './inspect-security.ts';
import { SHM_SIZE } from './namespace-spec.ts';
import { isAlive } from './process-identity.ts';
import { type ContainerMount, inspectMount } from './volume/container-mount.ts';

/** Go's nil slice: a template sees an empty list, JSON has null. */
class NoList extends Array<never> {
  toJSON(): null {
    return null;
  }
}

/** What docker has for a time that has not come. */
const NEVER = '0001-01-01T00:00:00Z';

/** All that is known of a container, in docker's words. */
export function inspectContainer(container: Container): Readonly<Record<string, unknown>> {
  const { config } = container;
  const state = container.readState();
  const { options } = config;
  const [path = '', ...args] = config.args;
  return {
    Id: config.id,
    Created: config.created,
    Path: path,
    Args: args,
    State: describeState(container, state),
    Image: config.imageId,
    ResolvConfPath: join(container.files, 'resolv.conf'),
    HostnamePath: join(container.files, 'hostname'),
    HostsPath: join(container.files, 'hosts'),
    LogPath: options?.lifecycle.log.driver === 'none' ? '' : container.log,
    Name: `/${config.name}`,
    RestartCount: state.restartCount ?? 0,
    Driver: 'union',
    Platform: 'linux',
    ...(options === undefined ? {} : { HostConfig: hostConfig(options, container.mounts) }),
    GraphDriver: { Name: 'union', Data: unionDirectories(container) },
    Mounts: container.mounts.map(inspectMount),
    Config: describeConfig(container),
    NetworkSettings: inspectNetwork(state),
  };
}

function describeState(container: Container, state: ContainerState): Readonly<Record<string, unknown>> {
  const status = statusOf(container);
  const isRunning = status === 'running' || status === 'paused';
  const pid = state.init !== undefined && isRunning && isAlive(state.init) ? state.init.pid : 0;
  return {
    Status: status,
    Running: isRunning,
    Paused: status === 'paused',
    Restarting: status === 'restarting',
    OOMKilled: state.oomKilled === true,
    Dead: status === 'dead',
    // Its supervisor is gone.
    Orphaned: liveStatus(state) === 'orphaned',
    Pid: pid,
    ExitCode: isRunning ? 0 : (state.exitCode ?? 0),
    Error: state.error ?? '',
    StartedAt: state.started ?? NEVER,
    FinishedAt: isRunning ? NEVER : (state.finished ?? NEVER),
    RootChange: state.rootChange ?? '',
  };
}

function unionDirectories(container: Container): Readonly<Record<string, unknown>> {
  return {
    LowerDir: container.lowers.map(toText).join(':'),
    MergedDir: container.merged,
    UpperDir: container.upper,
    WorkDir: container.work,
  };
}

function describeConfig(container: Container): Readonly<Record<string, unknown>> {
  const { config } = container;
  const { process: first, options } = config;
  return {
    Hostname: options?.process.hostname ?? config.id.slice(0, 12),
    User: first?.user ?? '',
    AttachStdin: options?.process.interactive === true && options.lifecycle.stdinOnce,
    Tty: options?.process.terminal === true,
    OpenStdin: options?.process.interactive === true,
    StdinOnce: options?.process.interactive === true && options.lifecycle.stdinOnce,
    ExposedPorts: inspectExposed(container.readState(), options?.network),
    Env: first?.env ?? [],
    Cmd: first?.cmd ?? config.args,
    Image: config.image,
    WorkingDir: first?.workingDir ?? '',
    Entrypoint: (first?.entrypoint.length ?? 0) > 0 ? first?.entrypoint : new NoList(),
    Labels: labelsOf(container),
    StopSignal: config.stopSignal ?? 'SIGTERM',
    ...(options?.lifecycle.stopTimeout === undefined ? {} : { StopTimeout: options.lifecycle.stopTimeout }),
  };
}

/** Where filesystems in memory are, each with its options. */
function temporaries(mounts: readonly ContainerMount[]): Readonly<Record<string, string>> {
  const inMemory = mounts.map(inspectMount).filter(({ Type }) => Type === 'tmpfs');
  return Object.fromEntries(inMemory.map(({ Destination, Mode }) => [Destination, Mode]));
}

function hostConfig(options: ContainerOptions, mounted: readonly ContainerMount[]): Readonly<Record<string, unknown>> {
  const { lifecycle, mounts, network, resources } = options;
  const { log, restart } = lifecycle;
  const { limits } = resources;
  return {
    Binds: mounted
      .map(inspectMount)
      .filter(({ Type }) => Type === 'bind' || Type === 'volume')
      .map(({ Name, Source, Destination, RW }) => `${Name ?? Source}:${Destination}${RW ? '' : ':ro'}`),
    LogConfig: {
      Type: log.driver,
      Config: {
        ...(log.maxSize === undefined ? {} : { 'max-size': String(log.maxSize) }),
        ...(log.maxSize === undefined ? {} : { 'max-file': String(log.maxFile) }),
      },
    },
    ...inspectNetworkOptions(network),
    RestartPolicy: { Name: restart.name, MaximumRetryCount: restart.maximumRetries },
    AutoRemove: lifecycle.remove,
    ...securityConfig(options),
    ReadonlyRootfs: mounts.readOnly,
    Init: options.process.init !== undefined,
    ShmSize: resources.shmSize ?? SHM_SIZE,
    Tmpfs: temporaries(mounted),
    OomScoreAdj: resources.oomScoreAdj ?? 0,
    Memory: limits.memory ?? 0,
    MemorySwap: limits.memorySwap ?? 0,
    MemoryReservation: limits.memoryReservation ?? 0,
    NanoCpus: Math.round((limits.cpus ?? 0) * 1e9),
    CpuPeriod: limits.cpuPeriod ?? 0,
    CpuQuota: limits.cpuQuota ?? 0,
    CpuShares: limits.cpuShares ?? 0,
    CpusetCpus: limits.cpusetCpus ?? '',
    CpusetMems: limits.cpusetMems ?? '',
    PidsLimit: limits.pidsLimit?.value ?? 0,
    CgroupParent: resources.cgroupParent ?? '',
  };
}
