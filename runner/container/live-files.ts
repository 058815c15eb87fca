import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { hostsFile } from './network/hosts-file.ts';
import { type NetworkPlan } from './network/plan.ts';
import { isStubResolver, resolvConf } from './network/resolv-conf.ts';
import { type NetworkOptions } from './options/network.ts';
import { readText } from './read-text.ts';
import { type Volume } from './spec.ts';

/** Whom systemd-resolved asks, while /etc/resolv.conf says to ask it. */
const UPLINK_RESOLV_CONF = '/run/systemd/resolve/resolv.conf';

/** What is to stand in a container's /etc/hosts, /etc/hostname and /etc/resolv.conf. */
export interface LiveFileParts {
  readonly hostname: string;
  readonly plan: NetworkPlan;
  readonly options: NetworkOptions;
  /** Directory of these files of the container whose network is shared. */
  readonly sharedFiles?: string | undefined;
}

/** Writes the files that the container sees and can change, beside its upper; docker does not show them in diff. */
export function writeLiveFiles(directory: string, parts: LiveFileParts): void {
  const { hostname, sharedFiles } = parts;
  writeLiveFile(directory, 'hostname', `${hostname}\n`);
  for (const [name, make] of [
    ['hosts', hostsOf],
    ['resolv.conf', resolvConfOf],
  ] as const) {
    writeLiveFile(directory, name, sharedFiles === undefined ? make(parts) : readText(join(sharedFiles, name)));
  }
}

function hostsOf({ hostname, plan, options }: LiveFileParts): string {
  return hostsFile({
    // The host's names are good where its network is.
    inherited: plan.mode === 'host' ? readText('/etc/hosts') : '',
    hostname,
    address: plan.address ?? '127.0.1.1',
    hostAddress: plan.hostAddress,
    added: options.hosts,
  });
}

function resolvConfOf({ plan, options }: LiveFileParts): string {
  const { resolver } = options;
  const host = readText('/etc/resolv.conf');
  if (plan.mode === 'host') return resolvConf(host, resolver);
  if (plan.mode === 'none') return resolvConf('', resolver);
  const uplink = isStubResolver(host) ? readText(UPLINK_RESOLV_CONF) : '';
  return resolvConf(uplink || host, resolver, { forwarder: plan.nameserver, hasIpv6: plan.hasIpv6 });
}

function writeLiveFile(directory: string, name: string, content: string): void {
  writeFileSync(join(directory, name), content, { mode: 0o644 });
}

/** The mounts that put these files into the container. */
export function liveFileVolumes(directory: string, { noHosts }: NetworkOptions): Volume[] {
  return [...(noHosts ? [] : ['hosts']), 'hostname', 'resolv.conf'].map((name) => ({
    source: join(directory, name),
    destination: `/etc/${name}`,
    readOnly: false,
  }));
}
