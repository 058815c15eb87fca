import { type Command } from 'commander';
import { parseHostEntry } from '../../runner/container/network/hosts-file.ts';
import { defaultNetwork, parseNetwork } from '../../runner/container/network/mode.ts';
import { isAddress, parseExpose, parsePublish } from '../../runner/container/network/ports.ts';
import { type NetworkOptions, checkNetworkOptions, parseMacAddress } from '../../runner/container/options/network.ts';
import { complain } from '../complain.ts';
import { collect } from './collect.ts';

/** What the options of `addNetworkFlags` give. */
export interface NetworkFlags {
  readonly network?: string;
  readonly publish?: readonly string[];
  readonly publishAll?: true;
  readonly expose?: readonly string[];
  readonly dns?: readonly string[];
  readonly dnsSearch?: readonly string[];
  readonly dnsOption?: readonly string[];
  readonly addHost?: readonly string[];
  /** False where /etc/hosts is to be the image's. */
  readonly hosts: boolean;
  readonly macAddress?: string;
  readonly ip?: string;
  readonly ip6?: string;
  readonly networkAlias?: readonly string[];
}

const NETWORK = `the container's network: private, one of its own behind pasta or slirp4netns, from which it reaches
other hosts, and this one by host.containers.internal, but nothing on this one's loopback interface; host, this one's;
none, a loopback interface alone; container:NAME, another container's; pasta[:OPTION,...] and slirp4netns[:NAME=VALUE,...]
choose the helper (default: LAMINA_NETWORK, else private where a helper is installed, else host)`;

/** Options of the container's network. */
export function addNetworkFlags(command: Command): Command {
  return command
    .option('--net, --network <network>', NETWORK.replaceAll('\n', ' '))
    .option(
      '-p, --publish <[ip:][host-port:]port[/tcp|udp]>',
      "let a port of the container be reached at this host's; ranges are taken, a host port that is not given is chosen; can be repeated",
      collect,
    )
    .option('-P, --publish-all', 'publish all ports that the image and --expose name, on ports that are chosen')
    .option('--expose <port[/tcp|udp]>', 'name a port that the container listens on; can be repeated', collect)
    .option('--dns <ip>', "ask this name server in place of the host's; can be repeated", collect)
    .option('--dns-search <domain>', "search list, in place of the host's; . for none; can be repeated", collect)
    .option('--dns-opt, --dns-option <option>', "resolver option, in place of the host's; can be repeated", collect)
    .option('--add-host <name:ip>', 'line of /etc/hosts; the ip may be host-gateway; can be repeated', collect)
    .option('--no-hosts', 'leave /etc/hosts as the image has it')
    .option('--mac-address <address>', "of the container's interface")
    .option('--ip <address>', 'refused: see --network pasta:-a,ADDRESS')
    .option('--ip6 <address>', 'refused: see --network pasta:-a,ADDRESS')
    .option('--network-alias <name>', 'refused: there are no networks of several containers', collect);
}

export function networkOptionsOf(flags: NetworkFlags): NetworkOptions {
  refuse(flags);
  const { network, publish = [], publishAll, expose = [], dns = [], dnsSearch = [], dnsOption = [] } = flags;
  const { addHost = [], hosts, macAddress } = flags;
  const options: NetworkOptions = {
    ...(network === undefined || network === 'default' ? defaultNetwork(complain) : parseNetwork(network)),
    publish: publish.flatMap(parsePublish),
    publishAll: publishAll === true,
    expose: expose.flatMap(parseExpose),
    resolver: {
      nameservers: dns.map(checkNameserver),
      search: dnsSearch.map(checkWord),
      options: dnsOption.map(checkWord),
    },
    hosts: addHost.map(parseHostEntry),
    noHosts: !hosts,
    macAddress: macAddress === undefined ? undefined : parseMacAddress(macAddress),
  };
  if (options.noHosts && addHost.length > 0) throw new Error('--no-hosts and --add-host contradict each other');
  return checkNetworkOptions(options, complain);
}

function refuse({ ip, ip6, networkAlias }: NetworkFlags): void {
  const address = ip ?? ip6;
  if (address !== undefined) {
    throw new Error(
      `no address is chosen by --ip and --ip6: --network pasta:-a,${address} gives the container one, with -n and -g for its network`,
    );
  }
  if (networkAlias !== undefined)
    throw new Error('--network-alias: there are no networks that several containers are in');
}

function checkNameserver(text: string): string {
  if (isAddress(text)) return text;
  throw new Error(`name server ${JSON.stringify(text)} is no IP address`);
}

/** What is a word of its own in resolv.conf. */
function checkWord(text: string): string {
  if (/^[^\s#;]+$/.test(text)) return text;
  throw new Error(`${JSON.stringify(text)} is not one word of resolv.conf`);
}
