import { type ChildProcess, execFileSync, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Layer } from '../../runner/demo/image.ts';
import { type Missing, firstMissing, has } from '../support/requirements.ts';
import { wrote } from './lamina.ts';

/** Of the host, on an interface that is not loopback. */
export const HOST_ADDRESS = '203.0.113.1';
/** What the host asks for names: nothing but its own loopback interface can. */
export const HOST_RESOLVER = '127.0.0.53';

/** Why there can be no network of containers here that is to be tested. */
export function missingNetworks(): Missing {
  return firstMissing(...['pasta', 'slirp4netns', 'ip', 'gcc', 'nsenter'].map(has), interfaces());
}

/** Whether the kernel makes the interfaces that are used here. */
function interfaces(): Missing {
  const script = 'ip tuntap add probe mode tap && ip link add out0 type veth peer name out1';
  const { status, stderr } = spawnSync('unshare', ['--net', 'sh', '-c', script], { encoding: 'utf8' });
  return status === 0 ? undefined : `needs tap and veth interfaces: ${stderr.trim().split('\n', 1)[0] ?? ''}`;
}

/**
 * A machine as far as networks go: network and mount namespaces with an interface, a resolv.conf and devices of their own,
 * so that the tests do not depend on the real one's.
 */
export class PrivateHost {
  readonly #directory = mkdtempSync(join(tmpdir(), 'lamina-host-'));
  readonly #holder: ChildProcess;
  readonly #servers: ChildProcess[] = [];
  /** A command that executes another one on this host. */
  readonly within: readonly string[];

  private constructor(setUp: string) {
    this.resolver = HOST_RESOLVER;
    const script = `set -e; ip link set lo up; mount --bind "$0" /etc/resolv.conf; ${OPEN_TUN}; ${setUp}; echo ready; exec cat`;
    this.#holder = spawn('unshare', ['--net', '--mount', 'sh', '-c', script, this.#resolvConf], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const pid = this.#holder.pid ?? 0;
    this.within = ['nsenter', `--net=/proc/${pid}/ns/net`, `--mount=/proc/${pid}/ns/mnt`];
    execFileSync('gcc', ['-static', '-o', this.#talk, new URL('talk.c', import.meta.url).pathname]);
  }

  /** @param setUp more shell commands, executed on it. */
  static async start(setUp: string): Promise<PrivateHost> {
    const host = new PrivateHost(setUp);
    await wrote(host.#holder, 'ready');
    return host;
  }

  /** Whom the host asks for names. */
  set resolver(address: string) {
    writeFileSync(this.#resolvConf, `search lamina.test\nnameserver ${address}\n`);
  }

  get #resolvConf(): string {
    return join(this.#directory, 'resolv.conf');
  }

  get #talk(): string {
    return join(this.#directory, 'talk');
  }

  /** A layer with the program `talk`. */
  layer(): Layer {
    const talk = { type: 'file', name: 'bin/talk', content: readFileSync(this.#talk), mode: 0o755 } as const;
    return { title: 'talk', entries: [talk] };
  }

  /** Starts a server on this host; resolves when it listens. */
  async serve(protocol: 'tcp' | 'udp', address: string, port: number): Promise<void> {
    const server = this.#spawn('serve', protocol, address, String(port));
    this.#servers.push(server);
    await wrote(server, 'listening');
  }

  /** What a server answers to a client on this host, or why it does not. */
  async ask(protocol: 'tcp' | 'udp', address: string, port: number): Promise<string> {
    const client = this.#spawn('ask', protocol, address, String(port));
    let answer = '';
    client.stdout?.on('data', (chunk: Buffer) => (answer += chunk.toString('utf8')));
    await new Promise((resolve) => client.once('close', resolve));
    return answer;
  }

  #spawn(...words: readonly string[]): ChildProcess {
    const [program = '', ...rest] = [...this.within, this.#talk, ...words];
    return spawn(program, rest, { stdio: ['ignore', 'pipe', 'inherit'] });
  }

  /** What a program prints that is executed on this host. */
  output(...command: readonly string[]): string {
    const [program = '', ...rest] = [...this.within, ...command];
    return execFileSync(program, rest, { encoding: 'utf8' });
  }

  close(): void {
    for (const process of [this.#holder, ...this.#servers]) process.kill('SIGKILL');
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

// A tap device that everybody may make, as udev gives it.
export const OPEN_TUN =
  'mount -t tmpfs none /mnt; mknod -m 666 /mnt/tun c 10 200; mount --bind /mnt/tun /dev/net/tun; umount -l /mnt';

/** An interface with an address and no way out. */
export const INTERFACE = `ip link add out0 type veth peer name out1; ip address add ${HOST_ADDRESS}/24 dev out0; ip link set out0 up; ip link set out1 up`;
/** As INTERFACE, with a default route. */
export const CONNECTED = `${INTERFACE}; ip route add default via 203.0.113.2`;
