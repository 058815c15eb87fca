import { type Digest, digestOf, isDigest } from '../digest.ts';
import { DOCUMENT_BYTES } from '../limits.ts';
import { isIndexType, isManifestType } from '../manifest.ts';
import { type Reference } from '../reference.ts';
import { isObject, parseDocument, parseJson } from '../json.ts';
import { isLoopback, refuseLinkLocal } from './address.ts';
import { Authorizer } from './authorizer.ts';
import { readBody } from './body.ts';
import { readCertificates } from './certificates.ts';
import { type Credentials } from './credentials.ts';
import { codeOf } from './error-code.ts';
import { readPages } from './pages.ts';
import { type Repository, WrongBytes } from './repository.ts';
import { type HttpRequest, type HttpResponse, resolveRedirect, Transport } from './transport.ts';

/** Hub's API is not where its name says. */
const HOSTS: Readonly<Record<string, string>> = { 'docker.io': 'registry-1.docker.io' };

const ACCEPTED = [
  'application/vnd.oci.image.index.v1+json',
  'application/vnd.oci.image.manifest.v1+json',
  'application/vnd.docker.distribution.manifest.list.v2+json',
  'application/vnd.docker.distribution.manifest.v2+json',
].join(', ');

/** What comes of TLS spoken to a server of plain http: not what a server of TLS says of certificates. */
const TLS_FAILURES = /^(?:EPROTO|ERR_SSL_(?!.*ALERT)|ECONNRESET|UND_ERR_SOCKET)/;
/** How often a manifest is read of which other bytes come than its digest says. */
const DOCUMENT_ATTEMPTS = 3;
/** Bytes of an error's body that are worth a look. */
const LONGEST_COMPLAINT = 65_536;

export interface RegistryOptions {
  readonly credentials: Credentials | undefined;
  /** False: certificates are not checked, and where there is no TLS, plain http is spoken. */
  readonly tlsVerify: boolean;
  /** Where its certificates are, if not in certs.d. */
  readonly certificateDirectory?: string | undefined;
  /** Milliseconds before a first retry. */
  readonly backOff?: number;
  /** Milliseconds to wait for an answer, and for more of it. */
  readonly patience?: number;
  /** How often a request is sent that fails in passing. */
  readonly attempts?: number;
}

/** A manifest or an index as a registry has it. */
export interface RemoteDocument {
  readonly bytes: Buffer;
  readonly mediaType: string;
  readonly digest: Digest;
}

type RepositoryRequest = Omit<HttpRequest, 'url'> & {
  readonly path: string;
  /** Another repository of the registry that is to be read for it. */
  readonly alsoFrom?: string;
};

/** One repository of a registry that speaks the OCI distribution specification. */
export class Registry implements Repository {
  readonly transport: Transport;
  readonly #base: URL;
  readonly #path: string;
  readonly #mayBePlain: boolean;
  readonly #authorizer: Authorizer;
  #probed: Promise<void> | undefined;

  constructor({ domain, path }: Pick<Reference, 'domain' | 'path'>, options: RegistryOptions) {
    this.#base = new URL(`https://${Object.hasOwn(HOSTS, domain) ? HOSTS[domain] : domain}/`);
    this.#path = path;
    this.#mayBePlain = !options.tlsVerify || isLoopback(this.#base);
    const certificates = readCertificates(domain, options.certificateDirectory);
    // One on this machine is trusted, unless there is something to hold it against.
    const isVouched = !isLoopback(this.#base) || certificates.authorities.length > 0;
    const tlsVerify = options.tlsVerify && isVouched;
    this.transport = new Transport({ ...options, tlsVerify, certificates, host: this.#base.hostname });
    this.#authorizer = new Authorizer(this.transport, this.#base, options.credentials);
  }

  get host(): string {
    return this.#base.host;
  }

  /** Reads the manifest or index of a tag or digest; some times where it is another one. */
  async document(target: string): Promise<RemoteDocument> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await this.#readDocument(target);
      } catch (error) {
        if (!(error instanceof WrongBytes) || attempt === DOCUMENT_ATTEMPTS) throw error;
        await this.wait(attempt);
      }
    }
  }

  async #readDocument(target: string): Promise<RemoteDocument> {
    const signal = AbortSignal.timeout(this.transport.documentPatience);
    const headers = { accept: ACCEPTED };
    const response = await this.request({ method: 'GET', path: `manifests/${target}`, headers, signal });
    const what = `manifest ${target} of ${this.host}/${this.#path}`;
    if (response.status !== 200) throw await this.failure(response, what);
    const bytes = await readBody(response.body, DOCUMENT_BYTES, what);
    const digest = digestOf(bytes);
    const promised = isDigest(target) ? target : response.headers['docker-content-digest'];
    if (promised !== undefined && isDigest(promised) && promised !== digest) {
      throw new WrongBytes(`${what} has another content: its digest is ${digest}, where ${promised} is expected`);
    }
    return { bytes, digest, mediaType: mediaTypeOf(response, bytes, what) };
  }

  distrust(): void {
    // There is no other.
  }

  /** All tags of the repository, in its order. */
  tags(): Promise<string[]> {
    const what = `tags of ${this.host}/${this.#path}`;
    const ask = async (query: string): Promise<HttpResponse> => {
      const response = await this.request({ method: 'GET', path: `tags/list${query}` });
      if (response.status !== 200) throw await this.failure(response, what);
      return response;
    };
    return readPages(ask, 'tags', what);
  }

  /** Asks for what is no repository's, whatever the answer. */
  get(path: string, scope: string): Promise<HttpResponse> {
    return this.#authorized({ method: 'GET', url: new URL(path, this.#base) }, scope, (sent) =>
      this.transport.send(sent),
    );
  }

  /** Opens a blob from an offset on; the status tells whether the registry took it (206) or not (200). */
  async blob(digest: Digest, offset: number): Promise<HttpResponse> {
    const headers = rangeFrom(offset);
    const response = await this.request({ method: 'GET', path: `blobs/${digest}`, headers });
    if (response.status !== 200 && response.status !== 206) throw await this.failure(response, `blob ${digest}`);
    return response;
  }

  async foreignBlob(text: string, offset: number): Promise<HttpResponse> {
    await (this.#probed ??= this.#probe());
    const url = resolveRedirect(this.#base, text);
    if (isLoopback(url) && !isLoopback(this.#base)) throw new Error(`it is to come from ${url.host}, which is refused`);
    const response = await this.transport.send({ method: 'GET', url, headers: rangeFrom(offset) });
    if (response.status === 200 || response.status === 206) return response;
    await response.body.dump();
    throw new Error(`${url.host} answers HTTP status ${response.status} for it`);
  }

  /** Makes sure that the registry is there, and that it takes the credentials. */
  async ping(): Promise<void> {
    const response = await this.get('v2/', '');
    if (response.status === 401) throw new Error(`${this.host} refuses the user name or the password`);
    if (response.status !== 200) throw await this.failure(response, 'its API');
    await response.body.dump();
  }

  /** Whether the repository has the blob. */
  async has(digest: Digest): Promise<boolean> {
    const response = await this.request({ method: 'HEAD', path: `blobs/${digest}` });
    if (response.status === 200 || response.status === 404) {
      await response.body.dump();
      return response.status === 200;
    }
    throw await this.refusal(response, `blob ${digest}`);
  }

  /**
   * Asks for a blob that another repository of the registry is said to have.
   *
   * @returns true where the repository has it now; where an upload is to be gone on with, if the registry has begun one
   *   instead; undefined where it does neither.
   */
  async mount(digest: Digest, from: string): Promise<URL | true | undefined> {
    const path = `blobs/uploads/?mount=${encodeURIComponent(digest)}&from=${encodeURIComponent(from)}`;
    const response = await this.request({ method: 'POST', path, alsoFrom: from }).catch(() => undefined);
    // Whatever is in the way, such as credentials that are not for the other repository, the blob can still be sent.
    if (response === undefined) return undefined;
    await response.body.dump();
    if (response.status === 201) return true;
    return response.status === 202 ? this.uploadLocation(response) : undefined;
  }

  /** Makes a manifest, byte for byte, that of a tag or digest. */
  async putDocument(target: string, { bytes, mediaType, digest }: RemoteDocument): Promise<void> {
    const headers = { 'content-type': mediaType };
    const response = await this.request({ method: 'PUT', path: `manifests/${target}`, headers, body: bytes });
    const what = `manifest ${digest}`;
    if (response.status !== 201) throw await this.refusal(response, what);
    await response.body.dump();
    this.checkDigest(response, digest, what);
  }

  /** What a registry says that it has taken must be what was sent. */
  checkDigest({ headers }: HttpResponse, digest: Digest, what: string): void {
    const found = headers['docker-content-digest'];
    if (found === undefined || found === digest) return;
    throw new Error(`${this.host} has taken ${what} for another: ${JSON.stringify(found.slice(0, 100))}`);
  }

  async request(asked: RepositoryRequest): Promise<HttpResponse> {
    await (this.#probed ??= this.#probe());
    const { path, alsoFrom, ...rest } = asked;
    const actions = asked.method === 'GET' || asked.method === 'HEAD' ? 'pull' : 'pull,push';
    const scopes = [`repository:${this.#path}:${actions}`];
    if (alsoFrom !== undefined) scopes.push(`repository:${alsoFrom}:pull`);
    const url = new URL(`v2/${this.#path}/${path}`, this.#base);
    return this.#authorized({ ...rest, url }, scopes.join(' '), (sent) => this.transport.send(sent));
  }

  /** A step of an upload, where the registry has told to take it: one attempt. Another host gets no credentials. */
  async uploadStep(asked: HttpRequest): Promise<HttpResponse> {
    const send = (sent: HttpRequest): Promise<HttpResponse> => this.transport.once(sent);
    if (asked.url.origin !== this.#base.origin) return send(asked);
    return this.#authorized(asked, `repository:${this.#path}:pull,push`, send);
  }

  /** Where the next step of an upload is to be taken. */
  uploadLocation({ url, headers }: HttpResponse): URL {
    const { location } = headers;
    if (location === undefined) throw new Error(`${this.host} does not say where the upload goes on`);
    const next = resolveRedirect(url, location);
    refuseLinkLocal(next);
    if (isLoopback(next) && !isLoopback(this.#base)) {
      throw new Error(`${this.host} sends the upload to ${next.host}, which is refused`);
    }
    return next;
  }

  /** Tells the registry that it need not keep what it has of an upload: for its good alone, so nothing can fail. */
  async abandonUpload(location: URL): Promise<void> {
    const response = await this.uploadStep({ method: 'DELETE', url: location }).catch(() => undefined);
    await response?.body.dump();
  }

  async #authorized(
    asked: HttpRequest,
    scope: string,
    send: (sent: HttpRequest) => Promise<HttpResponse>,
  ): Promise<HttpResponse> {
    await (this.#probed ??= this.#probe());
    const url = new URL(asked.url);
    url.protocol = this.#base.protocol;
    const known = this.#authorizer.known(scope);
    const first = await send({ ...asked, url, headers: withAuthorization(asked.headers, known) });
    // What asks elsewhere, after a redirect, is not to choose where the registry's credentials go.
    if (first.status !== 401 || first.url.origin !== url.origin) return first;
    const answer = await this.#authorizer.answer(first.headers['www-authenticate'] ?? '', scope);
    if (answer === undefined) return first;
    await first.body.dump();
    return send({ ...asked, url, headers: withAuthorization(asked.headers, answer) });
  }

  /** Finds out whether a registry that need not speak TLS does. */
  async #probe(): Promise<void> {
    if (!this.#mayBePlain) return;
    const url = new URL('v2/', this.#base);
    const tls = await this.transport.once({ method: 'GET', url }).catch((error: unknown) => codeOf(error));
    if (typeof tls === 'object') await tls.body.dump();
    else if (TLS_FAILURES.test(tls)) this.#base.protocol = 'http:';
  }

  /** What a status that was not wanted means. */
  async failure(response: HttpResponse, what: string): Promise<Error> {
    const complaint = await readComplaint(response);
    const where = `${this.host} has no ${what}`;
    if (response.status === 404) return new Error(`${where}${complaint}`);
    if (response.status === 401) {
      return new Error(`${this.host} asks for a login before it gives ${what}: lamina login ${this.host}${complaint}`);
    }
    if (response.status === 403) return new Error(`${this.host} denies access to ${what}${complaint}`);
    return new Error(`${this.host} answers HTTP status ${response.status} for ${what}${complaint}`);
  }

  /** What a status means that ends a push. */
  async refusal(response: HttpResponse, what: string): Promise<Error> {
    const complaint = await readComplaint(response);
    if (response.status === 401) {
      return new Error(`${this.host} asks for a login before it takes ${what}: lamina login ${this.host}${complaint}`);
    }
    if (response.status === 403) return new Error(`${this.host} denies to take ${what}${complaint}`);
    return new Error(`${this.host} does not take ${what}: HTTP status ${response.status}${complaint}`);
  }

  wait(attempt: number): Promise<void> {
    return this.transport.wait(attempt);
  }

  async close(): Promise<void> {
    await this.transport.close();
  }
}

function rangeFrom(offset: number): Record<string, string> {
  return offset === 0 ? {} : { range: `bytes=${offset}-` };
}

function withAuthorization(
  headers: Readonly<Record<string, string>> = {},
  value: string | undefined,
): Readonly<Record<string, string>> {
  return value === undefined ? headers : { ...headers, authorization: value };
}

/** Header and document must agree (CVE-2021-41190). */
function mediaTypeOf(response: HttpResponse, bytes: Buffer, what: string): string {
  const named = (response.headers['content-type'] ?? '').split(';')[0]?.trim() ?? '';
  const document = parseDocument(bytes, what);
  const own = isObject(document) && typeof document['mediaType'] === 'string' ? document['mediaType'] : named;
  if (own !== named) {
    throw new Error(
      `${what} is ${JSON.stringify(own)} by itself and ${JSON.stringify(named)} to its registry: refused`,
    );
  }
  if (isIndexType(own) || isManifestType(own)) return own;
  if (own.includes('manifest.v1')) {
    throw new Error(`${what} is of docker's schema 1, which no registry should have any more; push the image anew`);
  }
  throw new Error(`${what} is no image: its type is ${JSON.stringify(own)}`);
}

/** The specification's `errors`, as far as they can be printed. */
async function readComplaint(response: HttpResponse): Promise<string> {
  try {
    const document = parseJson(await readBody(response.body, LONGEST_COMPLAINT, 'the answer'), 'the answer');
    const errors = isObject(document) && Array.isArray(document['errors']) ? (document['errors'] as unknown[]) : [];
    const said = errors.filter(isObject).map(({ code, message }) => `${textOf(code)}: ${textOf(message)}`);
    return said.length === 0
      ? ''
      : ` (${said
          .join('; ')
          .replace(/[^\x20-\x7e]/g, '?')
          .slice(0, 300)})`;
  } catch {
    // No JSON: the status says enough.
    return '';
  }
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
