import { BlockList, isIP } from 'node:net';
import { isLoopback } from './address.ts';

/**
 * The proxy for a URL, by the environment as docker and podman read it: `HTTPS_PROXY` and `HTTP_PROXY` by the URL's own
 * scheme, none for this machine and for what `NO_PROXY` lists.
 */
export function proxyFor(url: URL, environment: NodeJS.ProcessEnv = process.env): URL | undefined {
  const name = url.protocol === 'https:' ? 'HTTPS_PROXY' : 'HTTP_PROXY';
  const value = environment[name] || environment[name.toLowerCase()];
  if (!value || isLoopback(url) || isExempt(url, environment['NO_PROXY'] || environment['no_proxy'] || '')) {
    return undefined;
  }
  const proxy = parseProxy(value);
  if (proxy !== undefined) return proxy;
  // It may hold a password.
  throw new Error(`${name} is no URL of a proxy: it is http://HOST:PORT, or https:// or socks5:// in its place`);
}

const SCHEMES: ReadonlySet<string> = new Set(['http:', 'https:', 'socks5:', 'socks5h:']);

function parseProxy(value: string): URL | undefined {
  const text = /^[a-z0-9+.-]+:\/\//i.test(value) ? value : `http://${value}`;
  if (!URL.canParse(text)) return undefined;
  const proxy = new URL(text);
  if (proxy.protocol === 'socks5h:') return new URL(text.replace(/^socks5h/i, 'socks5'));
  return SCHEMES.has(proxy.protocol) ? proxy : undefined;
}

function isExempt(url: URL, list: string): boolean {
  const host = url.hostname.replace(/^\[|\]$/g, '').toLowerCase();
  const port = url.port || (url.protocol === 'https:' ? '443' : '80');
  const entries = list.split(',').map((entry) => entry.trim().toLowerCase());
  return entries.some((entry) => entry === '*' || (entry !== '' && covers(entry, host, port)));
}

function covers(entry: string, host: string, port: string): boolean {
  if (isIP(host) !== 0 && entry.includes('/')) return isInNetwork(entry, host);
  const [, bracketed, plain = '', entryPort] = /^(?:\[([^\]]*)\]|([^:]*|.*:.*:.*))(?::(\d+))?$/.exec(entry) ?? [];
  const name = bracketed ?? plain;
  if (name === '' || (entryPort !== undefined && entryPort !== port)) return false;
  if (isIP(name) !== 0) return name === host;
  const suffix = name.replace(/^\*/, '');
  return suffix.startsWith('.') ? host.endsWith(suffix) : host === suffix || host.endsWith(`.${suffix}`);
}

function isInNetwork(entry: string, host: string): boolean {
  const [network = '', bits = ''] = entry.split('/');
  const family = isIP(network);
  if (family === 0 || family !== isIP(host) || !/^\d{1,3}$/.test(bits)) return false;
  if (Number(bits) > (family === 6 ? 128 : 32)) return false;
  const list = new BlockList();
  const type = family === 6 ? 'ipv6' : 'ipv4';
  list.addSubnet(network, Number(bits), type);
  return list.check(host, type);
}
