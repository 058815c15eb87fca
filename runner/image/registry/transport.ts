import { Readable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { Agent, type Dispatcher, ProxyAgent, request } from 'undici';
import { foreignLookup, guardedLookup, isLoopback, refuseLinkLocal, refuseLoopback } from './address.ts';
import { codeOf } from './error-code.ts';
import { proxyFor } from './proxies.ts';
import { Tls, type TlsOptions } from './tls.ts';

type Method = 'GET' | 'HEAD' | 'POST' | 'PUT' | 'PATCH' | 'DELETE';

export interface HttpRequest {
  readonly method: Method;
  readonly url: URL;
  readonly headers?: Readonly<Record<string, string>>;
  /** A text, bytes, or what begins a stream: all can be sent again. */
  readonly body?: string | Uint8Array | (() => AsyncIterable<Uint8Array>);
  readonly signal?: AbortSignal;
  /** Another host than the user has named this URL: it is not to lead to this machine. */
  readonly isForeign?: boolean;
  /** Milliseconds to wait for the answer once the request is sent, where that is more than is usual. */
  readonly patience?: number;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Dispatcher.ResponseData['body'];
  /** Where the answer came from, after redirects. */
  readonly url: URL;
  /** Milliseconds in which more of the body should come. */
  readonly patience: number;
}

export interface TransportOptions extends TlsOptions {
  /** Milliseconds before the first retry; doubled for each further one. */
  readonly backOff?: number;
  /** Milliseconds without a header, or a byte of a body. */
  readonly patience?: number;
  /** How often a request is sent that fails in passing. */
  readonly attempts?: number;
}

const ATTEMPTS = 5;
const BACK_OFF = 500;
const LONGEST_WAIT = 30_000;
const REDIRECTS = 5;
/** Milliseconds without a header, or a byte of a body. */
const PATIENCE = 60_000;
const REDIRECTED: ReadonlySet<number> = new Set([301, 302, 303, 307, 308]);
/** The server is not able to answer now. */
const PASSING: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504]);

/** Whether the answer to another attempt may be a different one. */
export function isPassingStatus(status: number): boolean {
  return PASSING.has(status);
}

/** HTTP to registries: proxies of the environment, retries with back-off, redirects that give no credentials away. */
export class Transport {
  readonly #tls: Tls;
  readonly #direct: Agent;
  /** For where a host leads that is not this machine. */
  readonly #foreign: Agent;
  /** By their URLs, and whether they are for the host that is shown our certificates. */
  readonly #proxies = new Map<string, ProxyAgent>();
  readonly #patience: number;
  readonly #backOff: number;
  readonly #attempts: number;

  constructor({ backOff = BACK_OFF, attempts = ATTEMPTS, patience = PATIENCE, ...tls }: TransportOptions) {
    this.#attempts = attempts;
    this.#backOff = backOff;
    this.#patience = patience;
    this.#tls = new Tls(tls);
    this.#direct = new Agent({ connect: this.#tls.connector(guardedLookup) });
    this.#foreign = new Agent({ connect: this.#tls.connector(foreignLookup) });
  }

  /** Milliseconds for all of a document: each byte that comes is no reason to wait longer. */
  get documentPatience(): number {
    return 10 * this.#patience;
  }

  /** Sends a request, again where the network or the server fails in passing; answers whatever status there is then. */
  async send(sent: HttpRequest): Promise<HttpResponse> {
    for (let attempt = 1; ; attempt++) {
      const isLast = attempt === this.#attempts;
      try {
        const response = await this.#follow(sent);
        if (isLast || !isPassingStatus(response.status)) return response;
        await response.body.dump();
        await this.wait(attempt, response.headers['retry-after']);
      } catch (error) {
        const alert = this.#tls.alertOf(sent.url.hostname);
        if (alert !== undefined || isLast || !isPassing(error)) throw describeFailure(sent, alert ?? error);
        await this.wait(attempt);
      }
    }
  }

  /** As `send`, with one attempt. */
  once(sent: HttpRequest): Promise<HttpResponse> {
    return this.#follow(sent);
  }

  /** Waits before another attempt, as long as the server asks for where it does. */
  async wait(attempt: number, retryAfter?: string, signal?: AbortSignal): Promise<void> {
    const asked = parseRetryAfter(retryAfter ?? '');
    const backOff = this.#backOff * 2 ** (attempt - 1) * (0.75 + Math.random() / 2);
    await sleep(Math.min(asked > 0 ? asked : backOff, LONGEST_WAIT), undefined, signal === undefined ? {} : { signal });
  }

  async close(): Promise<void> {
    const agents = [this.#direct, this.#foreign, ...this.#proxies.values()];
    await Promise.all(agents.map((agent) => agent.destroy()));
  }

  #dispatcher(url: URL, isForeign: boolean): Dispatcher {
    const proxy = proxyFor(url);
    if (proxy === undefined) return isForeign ? this.#foreign : this.#direct;
    const isOwn = this.#tls.isOwn(url.hostname);
    const key = `${isOwn ? 'own' : 'other'} ${proxy.href}`;
    const known = this.#proxies.get(key);
    if (known !== undefined) return known;
    // Proxies let CONNECT through to the port of TLS alone; plain http they take as it is.
    const agent = new ProxyAgent({
      uri: proxy.href,
      requestTls: this.#tls.connectOptions(isOwn),
      ...(proxy.protocol === 'https:'
        ? { proxyTls: { ...this.#tls.connectOptions(false), rejectUnauthorized: true } }
        : {}),
      proxyTunnel: false,
    });
    this.#proxies.set(key, agent);
    return agent;
  }

  async #follow(sent: HttpRequest): Promise<HttpResponse> {
    let { url, headers = {} } = sent;
    let isForeign = sent.isForeign === true;
    for (let hops = 0; ; hops++) {
      refuseLinkLocal(url);
      if (isForeign) refuseLoopback(url);
      const {
        statusCode,
        headers: answered,
        body,
      } = await request(url, {
        method: sent.method,
        headers,
        body: openBody(sent.body),
        dispatcher: this.#dispatcher(url, isForeign),
        ...(sent.signal === undefined ? {} : { signal: sent.signal }),
        headersTimeout: sent.patience ?? this.#patience,
        bodyTimeout: this.#patience,
      });
      const response = { status: statusCode, headers: flatten(answered), body, url, patience: this.#patience };
      const location = response.headers['location'];
      // An upload's next step is for the caller to take.
      const isRead = sent.method === 'GET' || sent.method === 'HEAD';
      if (!isRead || !REDIRECTED.has(statusCode) || location === undefined) return response;
      await body.dump();
      if (hops === REDIRECTS) throw new Refusal(`it was redirected more than ${REDIRECTS} times`);
      const next = resolveRedirect(url, location);
      // Credentials are for the host that they were given for (CVE-2020-15157).
      if (next.origin !== url.origin) headers = withoutCredentials(headers);
      if (next.hostname !== url.hostname && !isLoopback(url)) isForeign = true;
      url = next;
    }
  }
}

function openBody(body: HttpRequest['body']): string | Uint8Array | Readable | null {
  return typeof body === 'function' ? Readable.from(body(), { objectMode: false }) : (body ?? null);
}

/** Milliseconds that a `Retry-After` asks for, which has seconds or a date; 0 where it has neither. */
function parseRetryAfter(value: string): number {
  const asked = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(asked) ? Math.max(asked, 0) : 0;
}

/** What no further attempt would change. */
class Refusal extends Error {
  override readonly name = 'Refusal';
}

/** Where a redirect, or the next step of an upload, leads. */
export function resolveRedirect(from: URL, location: string): URL {
  if (!URL.canParse(location, from.href)) {
    throw new Refusal(`it was redirected to what is no address: ${JSON.stringify(location.slice(0, 100))}`);
  }
  const next = new URL(location, from);
  const isAllowed = next.protocol === 'https:' || (next.protocol === 'http:' && from.protocol === 'http:');
  if (!isAllowed) throw new Refusal(`it was redirected to ${next.protocol}//${next.host}, which is refused`);
  return next;
}

function withoutCredentials(headers: Readonly<Record<string, string>>): Record<string, string> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => name.toLowerCase() !== 'authorization'));
}

function flatten(headers: Dispatcher.ResponseData['headers']): Record<string, string> {
  const single = Object.entries(headers).map(([name, value]) => [
    name,
    Array.isArray(value) ? value.join(', ') : value,
  ]);
  return Object.fromEntries(single.filter(([, value]) => value !== undefined)) as Record<string, string>;
}

const PASSING_CODES: ReadonlySet<string> = new Set([
  'ECONNRESET',
  'ECONNREFUSED',
  'EPIPE',
  'ETIMEDOUT',
  'EAI_AGAIN',
  'UND_ERR_SOCKET',
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
]);

/** Whether a failure of the network may be gone at the next attempt. */
export function isPassing(error: unknown): boolean {
  return PASSING_CODES.has(codeOf(error));
}

/** What is to be looked at after a failure of the network. */
const HINTS: Readonly<Record<string, string>> = {
  ENOTFOUND: 'there is no such host; is the name right, and the network there?',
  EAI_AGAIN: 'names cannot be looked up; is the network there?',
  ECONNREFUSED: 'nothing listens there; are the host and the port right?',
  ENETUNREACH: 'there is no way to that network',
  CERT_NOT_YET_VALID: "its certificate is not valid yet; is this machine's clock right?",
  CERT_HAS_EXPIRED: "its certificate is valid no more; is this machine's clock right?",
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another host; --tls-verify=false takes it all the same',
  ERR_SSL_WRONG_VERSION_NUMBER: 'it speaks no TLS; --tls-verify=false speaks plain http to it',
};

/** What a certificate fails by that no known authority vouches for. */
const UNKNOWN_AUTHORITY =
  /^(?:DEPTH_ZERO_SELF_SIGNED_CERT|SELF_SIGNED_CERT_IN_CHAIN|UNABLE_TO_(?:GET_ISSUER|VERIFY_LEAF))/;
/** What a server answers that wants a certificate of ours, or another one. */
const OWN_CERTIFICATE =
  /^ERR_SSL_.*ALERT_(?:CERTIFICATE_|BAD_CERT|UNKNOWN_CA|NO_CERT|UNSUPPORTED_CERT|HANDSHAKE_FAILURE)/;

function hintFor(code: string, { host }: URL): string | undefined {
  const directory = `/etc/containers/certs.d/${host}`;
  if (UNKNOWN_AUTHORITY.test(code)) {
    return `no known authority vouches for its certificate: put the authority's into ${directory}/ca.crt; --tls-verify=false takes it all the same`;
  }
  if (!OWN_CERTIFICATE.test(code)) return HINTS[code];
  return `it takes none but clients with a certificate that it knows: put one into ${directory}/client.cert, its key beside it as client.key`;
}

/** OpenSSL's messages name its own lines, between colons, and what it was. */
function reasonOf(error: Error): string {
  return /:SSL routines:[^:]*:([^:]+):/.exec(error.message)?.[1] ?? (error.message || codeOf(error));
}

/** A failure of the network, with the request that met it. */
export function describeFailure({ method, url }: HttpRequest, error: unknown): Error {
  const said = error instanceof Error ? reasonOf(error) : String(error);
  const hint = hintFor(codeOf(error), url);
  const why = hint === undefined ? said : `${said}: ${hint}`;
  const proxy = proxyFor(url);
  const by = proxy === undefined ? '' : ` by the proxy ${proxy.host}`;
  return new Error(`${method} ${url.origin}${url.pathname}${by}: ${why}`, { cause: error });
}
