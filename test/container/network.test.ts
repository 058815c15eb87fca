import { type ChildProcess } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ContainerState } from '../../runner/container/container.ts';
import { isAlive } from '../../runner/container/process-identity.ts';
import { firstMissing, has, hasFuseDevice, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';
import { Lamina, type User, ended, makeUser, recipe, removeUser } from './lamina.ts';
import { CONNECTED, HOST_ADDRESS, HOST_RESOLVER, INTERFACE, PrivateHost, missingNetworks } from './private-host.ts';

const missing = firstMissing(isRoot(), hasFuseDevice(), missingNetworks());
const withUsers = firstMissing(missing, hasUserNamespaces(), has('useradd'), has('setpriv'));

/** Nothing of the user's wishes: the default. */
const DEFAULT = { env: { LAMINA_NETWORK: '' } };

/** Listens on all that the tests ask, then stays. */
const SERVE =
  'trap "exit 0" TERM; for a in "udp 0.0.0.0 7000" "tcp 0.0.0.0 7000" "tcp 0.0.0.0 7001"; do talk serve $a & done; wait';

function stateOf(lamina: Lamina, id: string): ContainerState {
  return JSON.parse(readFileSync(join(lamina.root, 'containers', id, 'state.json'), 'utf8')) as ContainerState;
}

/** Ids of the containers that are there. */
function idsOf(lamina: Lamina): string[] {
  const directory = join(lamina.root, 'containers');
  return existsSync(directory) ? readdirSync(directory).filter((name) => /^[0-9a-f]{64}$/.test(name)) : [];
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 20));
}

/** A container that serves, and what tells of its network. */
async function startServer(lamina: Lamina, ...args: readonly string[]) {
  const before = idsOf(lamina);
  const child = lamina.start(['run', '--rm', ...args, 'talk', 'sh', '-c', SERVE], DEFAULT);
  // Each of the three says so.
  let listening = '';
  child.stdout?.on('data', (chunk: Buffer) => (listening += chunk.toString('utf8')));
  const complaint = ended(child).then(({ stderr }) => stderr);
  await Promise.race([
    until(() => listening === 'listening\n'.repeat(3)),
    complaint.then((text) => Promise.reject(new Error(text))),
  ]);
  const [id = ''] = idsOf(lamina).filter((name) => !before.includes(name));
  await until(() => stateOf(lamina, id).status === 'running');
  return { child, id, network: stateOf(lamina, id).network, complaint };
}

function wroteError(child: ChildProcess, text: string): Promise<void> {
  let all = '';
  return new Promise((resolve) => {
    child.stderr?.on('data', (chunk: Buffer) => {
      all += chunk.toString('utf8');
      if (all.includes(text)) resolve();
    });
  });
}

async function end(child: ChildProcess): Promise<void> {
  const gone = new Promise((resolve) => child.once('close', resolve));
  child.kill('SIGTERM');
  await gone;
}

describe.skipIf(missing)(titled('the network of a container of root', missing), () => {
  let host: PrivateHost;
  let lamina: Lamina;

  beforeAll(async () => {
    host = await PrivateHost.start(CONNECTED);
    lamina = new Lamina(undefined, undefined, host.within);
    await lamina.load(recipe('talk', [host.layer()], { ExposedPorts: { '7001/tcp': {} } }));
    await host.serve('tcp', '127.0.0.1', 6000);
    await host.serve('tcp', HOST_ADDRESS, 6001);
    await host.serve('udp', HOST_RESOLVER, 53);
    await host.serve('udp', HOST_ADDRESS, 53);
  });

  afterAll(async () => {
    await lamina.close();
    host.close();
  });

  describe.each(['pasta', 'slirp4netns'])('through %s', (helper) => {
    test('published ports are reached, also from a container that shares it, and nothing is left of it', async () => {
      const { child, id, network } = await startServer(
        lamina,
        ...['--network', helper, '--name', 'web', '-P'],
        ...['-p', '127.0.0.1:7100:7000', '-p', '7000:7000/udp', '-p', `${HOST_ADDRESS}:7200-7299:7000`],
      );
      const chosen = network?.ports.find(({ containerPort }) => containerPort === 7001)?.hostPort ?? 0;
      expect(await host.ask('tcp', '127.0.0.1', 7100)).toMatch(/^from /);
      // Datagrams from the host itself get no answer of slirp4netns.
      if (helper === 'pasta') expect(await host.ask('udp', '127.0.0.1', 7000)).toMatch(/^from /);
      expect(await host.ask('udp', HOST_ADDRESS, 7000)).toMatch(/^from /);
      expect(await host.ask('tcp', HOST_ADDRESS, 7200)).toMatch(/^from /);
      expect(await host.ask('tcp', HOST_ADDRESS, chosen)).toMatch(/^from /);
      expect(await host.ask('tcp', HOST_ADDRESS, 7100)).toContain('Connection refused');
      expect(await lamina.call(['port', 'web'])).toMatchObject({
        code: 0,
        stdout: `7000/tcp -> 127.0.0.1:7100\n7000/tcp -> ${HOST_ADDRESS}:7200\n7001/tcp -> 0.0.0.0:${chosen}\n7000/udp -> 0.0.0.0:7000\n`,
      });
      const listed = await lamina.call(['ps', '--filter', 'publish=7100', '--format', '{{.Ports}}']);
      expect(listed.stdout).toBe(
        `127.0.0.1:7100->7000/tcp, ${HOST_ADDRESS}:7200->7000/tcp, 0.0.0.0:${chosen}->7001/tcp, 0.0.0.0:7000->7000/udp\n`,
      );
      const inspected = await lamina.call(['inspect', 'web']);
      expect(JSON.parse(inspected.stdout)).toMatchObject([
        {
          NetworkSettings: {
            IPAddress: '10.0.2.100',
            Gateway: '10.0.2.2',
            Ports: { '7001/tcp': [{ HostIp: '0.0.0.0', HostPort: String(chosen) }] },
          },
          HostConfig: { NetworkMode: helper, PublishAllPorts: true },
          Config: { ExposedPorts: { '7000/tcp': {}, '7000/udp': {}, '7001/tcp': {} } },
        },
      ]);
      expect((await lamina.call(['port', 'web', '7001'])).stdout).toBe(`0.0.0.0:${chosen}\n`);
      expect(await lamina.call(['port', 'web', '7002/udp'])).toMatchObject({ code: 1, stdout: '' });

      const shared = 'talk ask tcp 127.0.0.1 7000; cat /etc/hosts';
      const other = await lamina.call(['run', '--rm', '--network', 'container:web', 'talk', 'sh', '-c', shared]);
      expect(other.stdout).toMatch(/^from 127\.0\.0\.1\n/);
      expect(other.stdout).toContain(`10.0.2.100\t${id.slice(0, 12)}\n`);

      const taken = await lamina.call(['run', '--rm', '--network', helper, '-p', '127.0.0.1:7100:80', 'talk', 'true']);
      expect(taken).toMatchObject({ code: 125, stdout: '' });
      expect(taken.stderr).toMatch(
        /^lamina: cannot publish on 127\.0\.0\.1:7100\/tcp: the port is in use already[^\n]*\n$/,
      );
      expect(idsOf(lamina)).toEqual([id]);

      expect(network?.helper !== undefined && isAlive(network.helper)).toBe(true);
      await end(child);
      expect(network?.helper !== undefined && isAlive(network.helper)).toBe(false);
      expect(await host.ask('tcp', '127.0.0.1', 7100)).toContain('Connection refused');
      expect(idsOf(lamina)).toEqual([]);
    });

    test('the host is reached by its name and not on its loopback interface, its resolver through the helper', async () => {
      const asks = ['tcp 127.0.0.1 6000', 'tcp 10.0.2.2 6000', `tcp ${HOST_ADDRESS} 6001`, 'udp 10.0.2.3 53'];
      const script = `for a in ${asks.map((ask) => `"${ask}"`).join(' ')}; do talk ask $a; done; cat /etc/resolv.conf /etc/hosts`;
      const { stdout } = await lamina.call(['run', '--rm', '--network', helper, 'talk', 'sh', '-c', script]);
      const lines = stdout.split('\n');
      for (const line of lines.slice(0, 2)) expect(line).toMatch(/^(connect|read): /);
      expect(lines.slice(2, 6)).toEqual([
        ...[`from ${HOST_ADDRESS}`, 'from 127.0.0.1', 'search lamina.test', 'nameserver 10.0.2.3'],
      ]);
      expect(stdout).toContain(`\n${HOST_ADDRESS}\thost.containers.internal host.docker.internal\n`);
    });

    test('a resolver that others reach, too, is asked by the container itself', async () => {
      const script = `talk ask udp ${HOST_ADDRESS} 53; cat /etc/resolv.conf`;
      host.resolver = HOST_ADDRESS;
      const { stdout } = await lamina.call(['run', '--rm', '--network', helper, 'talk', 'sh', '-c', script]);
      host.resolver = HOST_RESOLVER;
      expect(stdout).toMatch(new RegExp(`^from .*\nsearch lamina.test\nnameserver ${HOST_ADDRESS}\n$`));
    });

    test('the helper does not outlive a killed lamina, and its own end is told while the container goes on', async () => {
      const first = await startServer(lamina, '--network', helper);
      first.child.kill('SIGKILL');
      await until(() => first.network?.helper === undefined || !isAlive(first.network.helper));
      expect(first.network?.helper).toBeDefined();
      await lamina.call(['rm', '-f', first.id]);

      const second = await startServer(lamina, '--network', helper);
      const told = wroteError(second.child, 'has ended');
      process.kill(second.network?.helper?.pid ?? 0, 'SIGKILL');
      await told;
      expect(second.child.exitCode).toBeNull();
      await end(second.child);
      expect(await second.complaint).toMatch(
        new RegExp(`^lamina: ${helper} has ended, and the container's network with it: .*\n$`),
      );
    });

    test('a helper that does not come up is told in one line', async () => {
      const wrong = helper === 'pasta' ? 'pasta:--nonsense' : 'slirp4netns:mtu=99999';
      const { code, stderr } = await lamina.call(['run', '--rm', '--network', wrong, 'talk', 'true']);
      expect(code).toBe(125);
      expect(stderr).toMatch(/^lamina: \w+ did not make the network of the container: [^\n]*(nonsense|MTU)[^\n]*\n$/);
      expect(idsOf(lamina)).toEqual([]);
    });
  });

  test('by default it is one of its own, with the names and the resolver that were asked for', async () => {
    const options = [
      ...['--dns', '192.0.2.53', '--dns-search', 'a.test', '--dns-search', 'b.test', '--dns-option', 'ndots:3'],
      ...['--add-host', 'me:host-gateway', '--add-host', 'db:192.0.2.9', '--hostname', 'box'],
      ...['--mac-address', '02:00:00:00:00:07'],
    ];
    const script = 'cat /etc/resolv.conf /sys/class/net/eth0/address; ls /sys/class/net; cat /etc/hosts';
    const { stdout, stderr } = await lamina.call(['run', '--rm', ...options, 'talk', 'sh', '-c', script], DEFAULT);
    const lines = stdout.split('\n');
    expect({ head: lines.slice(0, 8), stderr }).toEqual({
      head: [
        ...['search a.test b.test', 'nameserver 192.0.2.53', 'options ndots:3', '02:00:00:00:00:07', 'eth0', 'lo'],
        ...[`${HOST_ADDRESS}\tme`, '192.0.2.9\tdb'],
      ],
      stderr: '',
    });
    expect(lines.at(-2)).toBe('10.0.2.100\tbox');
  });

  test.each([
    [['-p', '80'], /no port is published: the container has the host's network/, 0],
    [['--network', 'container:none-such'], /no container "none-such"/, 125],
    [['--network', 'container:x', '-p', '80'], /--publish is for the container whose network is shared/, 125],
    [['--network', 'front'], /network "front" is none of .*no named networks/, 125],
    [['--ip', '10.0.2.7'], /--network pasta:-a,10\.0\.2\.7/, 125],
    [['--network-alias', 'x'], /no networks that several containers are in/, 125],
    [['--mac-address', '02:00:00:00:00:01'], /no interface of its own/, 125],
    [['--dns', 'example.com'], /is no IP address/, 125],
  ])('%j with the host’s network is answered as docker does, in one line', async (options, message, code) => {
    const outcome = await lamina.call(['run', '--rm', ...options, 'talk', 'true']);
    expect(outcome.code).toBe(code);
    expect(outcome.stderr).toMatch(message);
    expect(outcome.stderr.split('\n')).toHaveLength(2);
  });
});

describe.skipIf(missing)(titled('the network of a container on a machine without a route', missing), () => {
  let host: PrivateHost;
  let lamina: Lamina;

  beforeAll(async () => {
    host = await PrivateHost.start(INTERFACE);
    lamina = new Lamina(undefined, undefined, host.within);
    await lamina.load(recipe('talk', [host.layer()]));
    await host.serve('tcp', HOST_ADDRESS, 6001);
  });

  afterAll(async () => {
    await lamina.close();
    host.close();
  });

  test.each(['pasta', 'slirp4netns'])('through %s reaches the host and is reached', async (helper) => {
    const { child } = await startServer(lamina, '--network', helper, '-p', '7100:7000', '--name', helper);
    expect(await host.ask('tcp', '127.0.0.1', 7100)).toMatch(/^from /);
    expect(await host.ask('tcp', HOST_ADDRESS, 7100)).toMatch(/^from /);
    const ask = ['talk', 'ask', 'tcp', HOST_ADDRESS, '6001'];
    const other = await lamina.call(['run', '--rm', '--network', `container:${helper}`, 'talk', ...ask]);
    expect(other.stdout).toBe(`from ${HOST_ADDRESS}\n`);
    await end(child);
  });
});

describe.skipIf(missing)(titled('the network of a container on a machine without helpers', missing), () => {
  let host: PrivateHost;
  let lamina: Lamina;

  beforeAll(async () => {
    // What cannot be executed is not there.
    host = await PrivateHost.start(
      'for name in pasta slirp4netns; do mount --bind /dev/null "$(command -v $name)"; done',
    );
    lamina = new Lamina(undefined, undefined, host.within);
    await lamina.load(recipe('talk', [host.layer()]));
    await host.serve('tcp', '127.0.0.1', 6000);
  });

  afterAll(async () => {
    await lamina.close();
    host.close();
  });

  test('is the host’s with one line that says what to install, and an error where another was asked for', async () => {
    const ask = ['talk', 'talk', 'ask', 'tcp', '127.0.0.1', '6000'];
    const outcome = await lamina.call(['run', '--rm', ...ask], DEFAULT);
    expect(outcome).toMatchObject({ code: 0, stdout: 'from 127.0.0.1\n' });
    expect(outcome.stderr).toMatch(/^lamina: the container has the host's network[^\n]*apt-get install passt[^\n]*\n$/);
    const refused = await lamina.call(['run', '--rm', '--network', 'private', ...ask]);
    expect(refused).toMatchObject({ code: 125, stdout: '' });
    expect(refused.stderr).toMatch(/^lamina: no private network: neither pasta nor slirp4netns is installed[^\n]*\n$/);
  });
});

describe.skipIf(withUsers)(titled('the network of a container of an ordinary user', withUsers), () => {
  let host: PrivateHost;
  let lamina: Lamina;
  let user: User;

  beforeAll(async () => {
    host = await PrivateHost.start(CONNECTED);
    user = makeUser('lamina-network', { start: 710_000_000, count: 65_536 });
    lamina = new Lamina(user, undefined, host.within);
    await lamina.load(recipe('talk', [host.layer()]));
    await host.serve('tcp', '127.0.0.1', 6000);
    await host.serve('tcp', HOST_ADDRESS, 6001);
  });

  afterAll(async () => {
    await lamina.close();
    host.close();
    removeUser(user.name);
  });

  test.each(['pasta', 'slirp4netns'])('through %s is as that of root’s, and low ports are root’s', async (helper) => {
    const { child, network } = await startServer(lamina, '--network', helper, '-p', '7100:7000', '--name', helper);
    expect(await host.ask('tcp', HOST_ADDRESS, 7100)).toMatch(/^from /);
    const asks = [`tcp ${HOST_ADDRESS} 6001`, 'tcp 10.0.2.2 6000', 'tcp 127.0.0.1 7000'];
    const script = asks.map((ask) => `talk ask ${ask}`).join('; ');
    const other = await lamina.call(['run', '--rm', '--network', `container:${helper}`, 'talk', 'sh', '-c', script]);
    expect(other.stdout).toMatch(new RegExp(`^from ${HOST_ADDRESS}\\n(connect|read): .*\\nfrom 127\\.0\\.0\\.1\\n$`));
    await end(child);
    expect(network?.helper !== undefined && isAlive(network.helper)).toBe(false);
    const refused = await lamina.call(['run', '--rm', '--network', helper, '-p', '80:80', 'talk', 'true']);
    expect(refused.code).toBe(125);
    expect(refused.stderr).toMatch(
      /^lamina: cannot publish on 0\.0\.0\.0:80\/tcp: only root may listen on it[^\n]*\n$/,
    );
  });

  test('one that is the host’s can be shared, also by a container that is started later', async () => {
    const serve = ['talk', 'talk', 'serve', 'tcp', '127.0.0.1', '7300'];
    const server = await lamina.call(['run', '-d', '--name', 'of-host', '--network', 'host', ...serve]);
    expect(server.stderr).toBe('');
    const ask = ['talk', 'talk', 'ask', 'tcp', '127.0.0.1', '6000'];
    await lamina.call([
      'create',
      '--name',
      'later',
      '--network',
      'container:of-host',
      '--pid',
      'container:of-host',
      ...ask,
    ]);
    expect(await lamina.call(['start', '-a', 'later'])).toMatchObject({
      code: 0,
      stdout: 'from 127.0.0.1\n',
      stderr: '',
    });
    await lamina.call(['rm', '-f', 'of-host', 'later']);
  });
});
