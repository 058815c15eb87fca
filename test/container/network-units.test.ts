import { describe, expect, test } from 'vitest';
import { HOST_GATEWAY, hostsFile, parseHostEntry } from '../../runner/container/network/hosts-file.ts';
import { pastaArguments, planPasta } from '../../runner/container/network/pasta.ts';
import { mergeExposed, parseExpose, parsePublish } from '../../runner/container/network/ports.ts';
import { describePorts, formatPorts, portLines } from '../../runner/container/network/published.ts';
import { isStubResolver, resolvConf } from '../../runner/container/network/resolv-conf.ts';
import { planSlirp, slirpArguments } from '../../runner/container/network/slirp4netns.ts';
import { chooseSubnet } from '../../runner/container/network/subnet.ts';

const ROUTES = { ipv4: true, ipv6: false };
const NOTHING = { nameservers: [], search: [], options: [] };

describe('parsePublish', () => {
  const range = (first: number, last = first) => ({ first, last });
  const anywhere = { hostIp: '0.0.0.0', protocol: 'tcp' };

  test.each([
    ['80', [{ ...anywhere, hostPorts: range(0), containerPort: 80 }]],
    ['8080:80', [{ ...anywhere, hostPorts: range(8080), containerPort: 80 }]],
    ['0:80', [{ ...anywhere, hostPorts: range(0), containerPort: 80 }]],
    ['8080:80/UDP', [{ hostIp: '0.0.0.0', protocol: 'udp', hostPorts: range(8080), containerPort: 80 }]],
    ['127.0.0.1:8080:80', [{ hostIp: '127.0.0.1', protocol: 'tcp', hostPorts: range(8080), containerPort: 80 }]],
    ['127.0.0.1::80', [{ hostIp: '127.0.0.1', protocol: 'tcp', hostPorts: range(0), containerPort: 80 }]],
    ['[::1]:8080:80', [{ hostIp: '::1', protocol: 'tcp', hostPorts: range(8080), containerPort: 80 }]],
    ['8000-8001:80', [{ ...anywhere, hostPorts: range(8000, 8001), containerPort: 80 }]],
    [
      '8000-8001:80-81',
      [
        { ...anywhere, hostPorts: range(8000), containerPort: 80 },
        { ...anywhere, hostPorts: range(8001), containerPort: 81 },
      ],
    ],
    [
      '80-81',
      [
        { ...anywhere, hostPorts: range(0), containerPort: 80 },
        { ...anywhere, hostPorts: range(0), containerPort: 81 },
      ],
    ],
  ])('takes %s as docker does', (text, mappings) => {
    expect(parsePublish(text)).toEqual(mappings);
  });

  test.each([
    ['', /is not \[IP:\]/],
    ['80/icmp', /"icmp" is no protocol/],
    ['80/sctp', /neither pasta nor slirp4netns forwards sctp/],
    ['70000:80', /1 to 65535/],
    ['80:0', /1 to 65535/],
    ['90-80:90-80', /the lower first/],
    ['8000-8002:80-81', /not of one length/],
    ['host:8080:80', /"host" is no address/],
    ['1.2.3.400:8080:80', /is no address/],
    ['1:2:3:4', /is not \[IP:\]/],
    ['8080:80/tcp/udp', /is not \[IP:\]/],
    ['-t:80', /is no port/],
    ['8080,9090:80', /is no port/],
  ])('refuses %j, saying why', (text, message) => {
    expect(() => parsePublish(text)).toThrow(message);
  });
});

test('parseExpose and mergeExposed list each port of the image and of the command line once, in order', () => {
  const exposed = mergeExposed(parseExpose('443'), parseExpose('80-81/tcp'), parseExpose('80'), parseExpose('53/udp'));
  expect(formatPorts([], exposed)).toBe('80/tcp, 81/tcp, 443/tcp, 53/udp');
  expect(() => parseExpose('80:80')).toThrow(/is no port/);
});

test('formatPorts, describePorts and portLines print what docker prints', () => {
  const published = [
    { hostIp: '0.0.0.0', hostPort: 8001, containerPort: 81, protocol: 'tcp' },
    { hostIp: '0.0.0.0', hostPort: 8000, containerPort: 80, protocol: 'tcp' },
    { hostIp: '::1', hostPort: 9000, containerPort: 80, protocol: 'tcp' },
    { hostIp: '127.0.0.1', hostPort: 53, containerPort: 53, protocol: 'udp' },
  ] as const;
  const exposed = parseExpose('443');
  expect(formatPorts(published, exposed)).toBe(
    '0.0.0.0:8000-8001->80-81/tcp, [::1]:9000->80/tcp, 127.0.0.1:53->53/udp, 443/tcp',
  );
  expect(portLines(published)).toEqual([
    '80/tcp -> 0.0.0.0:8000',
    '80/tcp -> [::1]:9000',
    '81/tcp -> 0.0.0.0:8001',
    '53/udp -> 127.0.0.1:53',
  ]);
  expect(describePorts(published, exposed)).toEqual({
    '443/tcp': null,
    '80/tcp': [
      { HostIp: '0.0.0.0', HostPort: '8000' },
      { HostIp: '::1', HostPort: '9000' },
    ],
    '81/tcp': [{ HostIp: '0.0.0.0', HostPort: '8001' }],
    '53/udp': [{ HostIp: '127.0.0.1', HostPort: '53' }],
  });
});

describe('resolvConf', () => {
  const HOST =
    'search a.example b.example\nnameserver 127.0.0.1\nnameserver 192.0.2.53\nnameserver 2001:db8::53\noptions ndots:2\n';

  test('is the host’s as it stands where the container has its network', () => {
    expect(resolvConf(`# by hand\n${HOST}`, NOTHING)).toBe(`# by hand\n${HOST}`);
  });

  test('puts the forwarder in the place of a resolver on the host’s loopback interface, and keeps the others', () => {
    expect(resolvConf(HOST, NOTHING, { forwarder: '10.0.2.3', hasIpv6: true })).toBe(
      'search a.example b.example\nnameserver 10.0.2.3\nnameserver 192.0.2.53\nnameserver 2001:db8::53\noptions ndots:2\n',
    );
    expect(resolvConf('nameserver 192.0.2.53\n', NOTHING, { forwarder: '10.0.2.3', hasIpv6: false })).toBe(
      'nameserver 192.0.2.53\n',
    );
    expect(resolvConf('nameserver fe80::1%eth0\n', NOTHING, { forwarder: '10.0.2.3', hasIpv6: true })).toBe(
      'nameserver 10.0.2.3\n',
    );
  });

  test('has what was asked for in its place, and no search list for "."', () => {
    const wanted = { nameservers: ['198.51.100.1'], search: ['.'], options: ['timeout:1'] };
    expect(resolvConf(HOST, wanted, { forwarder: '10.0.2.3', hasIpv6: true })).toBe(
      'nameserver 198.51.100.1\noptions timeout:1\n',
    );
    expect(resolvConf(HOST, { ...NOTHING, search: ['c.example'] })).toContain(
      'search c.example\nnameserver 127.0.0.1\n',
    );
  });

  test('isStubResolver knows systemd-resolved', () => {
    expect(isStubResolver('nameserver 127.0.0.53\noptions edns0 trust-ad\n')).toBe(true);
    expect(isStubResolver('nameserver 127.0.0.1\n')).toBe(false);
    expect(isStubResolver('')).toBe(false);
  });
});

describe('hostsFile', () => {
  const PARTS = { inherited: '', hostname: 'box', address: '10.0.2.100', hostAddress: '192.0.2.2', added: [] };

  test('names the container, the host and what was added', () => {
    const added = [
      parseHostEntry('db:192.0.2.9'),
      parseHostEntry('six=[2001:db8::1]'),
      parseHostEntry(`me:${HOST_GATEWAY}`),
    ];
    const lines = hostsFile({ ...PARTS, added }).split('\n');
    expect(lines.slice(0, 4)).toEqual(['192.0.2.9\tdb', '2001:db8::1\tsix', '192.0.2.2\tme', '127.0.0.1\tlocalhost']);
    expect(lines.slice(-3)).toEqual([
      '192.0.2.2\thost.containers.internal host.docker.internal',
      '10.0.2.100\tbox',
      '',
    ]);
  });

  test('begins with the host’s own where the container has its network', () => {
    expect(hostsFile({ ...PARTS, inherited: '127.0.0.1 localhost\n192.0.2.7 nas\n' })).toMatch(
      /^127\.0\.0\.1 localhost\n192\.0\.2\.7 nas\n192\.0\.2\.2\thost/,
    );
  });

  test('refuses host-gateway where nothing leads to the host, and what is no address', () => {
    const added = [parseHostEntry(`me:${HOST_GATEWAY}`)];
    expect(() => hostsFile({ ...PARTS, hostAddress: undefined, added })).toThrow(
      /no address that leads to this machine/,
    );
    for (const text of ['me', 'me:', ':1.2.3.4', 'me:1.2.3', 'a b:1.2.3.4', 'me:1.2.3.4\n::1 localhost']) {
      expect(() => parseHostEntry(text)).toThrow(/is not NAME:IP/);
    }
  });
});

test('chooseSubnet takes a network that no interface of the host is in', () => {
  expect(chooseSubnet([])).toEqual({
    address: '10.0.2.100',
    prefixLength: 24,
    gateway: '10.0.2.2',
    nameserver: '10.0.2.3',
  });
  expect(chooseSubnet(['192.0.2.2', '10.0.2.15', '10.0.3.1']).address).toBe('10.0.4.100');
});

describe('planPasta', () => {
  test('closes the host’s loopback interface and publishes nothing that was not asked for', () => {
    const plan = planPasta([], undefined, ROUTES);
    const args = pastaArguments(plan, []).join(' ');
    expect(args).toContain('-T none -U none --no-map-gw');
    expect(args).toContain('-t none -u none');
    expect(args).not.toContain('-i lo');
    expect(plan).toMatchObject({ prefixLength: 24, hasIpv6: false });
  });

  test('publishes ports on the addresses asked for', () => {
    const ports = [
      { hostIp: '127.0.0.1', hostPort: 8080, containerPort: 80, protocol: 'tcp' },
      { hostIp: '::1', hostPort: 53, containerPort: 53, protocol: 'udp' },
    ] as const;
    expect(pastaArguments(planPasta([], undefined, ROUTES), ports).join(' ')).toContain(
      '-t 127.0.0.1/8080:80 -u ::1/53:53 ',
    );
  });

  test('forwards the resolver only where the host asks itself', () => {
    const plan = (resolver: string) => planPasta([], undefined, ROUTES, resolver);
    for (const own of ['nameserver 127.0.0.53\nnameserver 192.0.2.53\n', 'nameserver fe80::1%eth0\n', '']) {
      expect(plan(own).nameserver).toBe('10.0.2.3');
      expect(pastaArguments(plan(own), []).join(' ')).toContain('--dns-forward 10.0.2.3');
    }
    const other = plan('nameserver 2001:db8::53\nnameserver 192.0.2.53\nnameserver 127.0.0.1\n');
    expect(other.nameserver).toBeUndefined();
    expect(pastaArguments(other, [])).not.toContain('--dns-forward');
  });

  test('needs no route of the host', () => {
    expect(pastaArguments(planPasta([], undefined, { ipv4: false, ipv6: false }), []).join(' ')).toContain(
      '-4 -i lo -M',
    );
  });

  test('leaves to the user’s options what they say', () => {
    const plan = planPasta(
      ['-a', '10.9.0.5', '-n', '16', '-g', '10.9.0.1', '--map-gw', '-I', 'net7', '-T=auto'],
      undefined,
      ROUTES,
    );
    expect(plan).toMatchObject({ address: '10.9.0.5', gateway: '10.9.0.1', hostAddress: '10.9.0.1' });
    expect(plan.prefixLength).toBeUndefined();
    const args = pastaArguments(plan, []).join(' ');
    for (const absent of ['--map-gw', '--no-map-gw', '-I eth0', '-T none', '10.0.2.'])
      expect(args).not.toContain(absent);
    expect(args).toContain('-a 10.9.0.5');
  });

  test('refuses options that would take it out of lamina’s hands', () => {
    for (const option of ['--netns', '--pid=/tmp/pid', '-l'])
      expect(() => planPasta([option])).toThrow(/for lamina to say/);
  });
});

describe('planSlirp', () => {
  test('closes the host’s loopback interface unless it is asked for', () => {
    expect(slirpArguments(planSlirp([]), false)).toContain('--disable-host-loopback');
    const plan = planSlirp(['allow_host_loopback=true', 'cidr=10.9.8.0/23', 'mtu=1500']);
    expect(slirpArguments(plan, false)).not.toContain('--disable-host-loopback');
    expect(slirpArguments(plan, false)).toEqual(expect.arrayContaining(['--cidr=10.9.8.0/23', '--mtu=1500']));
    expect(plan).toMatchObject({
      address: '10.9.8.100',
      prefixLength: 23,
      gateway: '10.9.8.2',
      nameserver: '10.9.8.3',
      hostAddress: '10.9.8.2',
    });
  });

  test('refuses what it cannot do, saying why', () => {
    for (const [option, message] of [
      ['port_handler=rootlesskit', /not by "rootlesskit"/],
      ['cidr=10.0.2.0', /is no network/],
      ['cidr=10.0.2.0/30', /is no network/],
      ['enable_ipv6=yes', /true or false/],
      ['speed=9', /is none of/],
    ] as const) {
      expect(() => planSlirp([option])).toThrow(message);
    }
  });
});
