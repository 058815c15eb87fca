import { asObject, optionalString, parseJson } from '../json.ts';
import { isLoopback, refuseLinkLocal } from './address.ts';
import { readBody } from './body.ts';
import { type Challenge, parseChallenges } from './challenge.ts';
import { type Credentials } from './credentials.ts';
import { type HttpRequest, type Transport } from './transport.ts';

const CLIENT = 'lamina';
/** A token is a few kilobytes; hub's have 4. */
const LONGEST_ANSWER = 1 << 20;
/** Milliseconds for all of it. */
const TOKEN_PATIENCE = 120_000;

/** Answers the challenges of one registry: basic, and the distribution specification's bearer tokens. */
export class Authorizer {
  readonly #transport: Transport;
  readonly #registry: URL;
  readonly #credentials: Credentials | undefined;
  /** Value of the Authorization header, by scope. */
  readonly #answers = new Map<string, string>();

  constructor(transport: Transport, registry: URL, credentials: Credentials | undefined) {
    this.#transport = transport;
    this.#registry = registry;
    this.#credentials = credentials;
  }

  /** What satisfied the registry before. */
  known(scope: string): string | undefined {
    return this.#answers.get(scope);
  }

  /**
   * The header that answers a 401; undefined where there is nothing to answer with.
   * @param scope `repository:NAME:pull`; several with a blank between them.
   */
  async answer(header: string, scope: string): Promise<string | undefined> {
    const challenges = parseChallenges(header);
    const bearer = challenges.find(({ scheme }) => scheme === 'bearer');
    const basic = challenges.find(({ scheme }) => scheme === 'basic');
    let answer: string | undefined;
    if (bearer !== undefined) answer = `Bearer ${await this.#token(bearer, scope)}`;
    else if (basic !== undefined) answer = this.#basic();
    if (answer !== undefined) this.#answers.set(scope, answer);
    return answer;
  }

  #basic(): string | undefined {
    const credentials = this.#credentials;
    if (credentials === undefined || 'identityToken' in credentials) return undefined;
    return `Basic ${Buffer.from(`${credentials.username}:${credentials.password}`).toString('base64')}`;
  }

  async #token({ parameters }: Challenge, scope: string): Promise<string> {
    const realm = this.#checkRealm(parameters['realm'] ?? '');
    const asked = { service: parameters['service'] ?? '', scope: parameters['scope'] ?? scope };
    const response = await this.#transport.send({
      ...this.#tokenRequest(realm, asked),
      isForeign: realm.hostname !== this.#registry.hostname && !isLoopback(this.#registry),
      signal: AbortSignal.timeout(TOKEN_PATIENCE),
    });
    const bytes = await readBody(response.body, LONGEST_ANSWER, `token of ${realm.host}`);
    if (response.status === 401 || response.status === 403) {
      throw new Error(`${realm.host} refuses the credentials for ${this.#registry.host}; lamina login renews them`);
    }
    if (response.status !== 200) throw new Error(`${realm.host} gives no token: HTTP status ${response.status}`);
    const answer = asObject(parseJson(bytes, `token of ${realm.host}`), `token of ${realm.host}`);
    const token = optionalString(answer['token'], 'token') || optionalString(answer['access_token'], 'access_token');
    if (!/^[\x21-\x7e]+$/.test(token)) throw new Error(`${realm.host} gives no token that could be sent`);
    return token;
  }

  #tokenRequest(realm: URL, asked: { readonly service: string; readonly scope: string }): HttpRequest {
    const credentials = this.#credentials;
    if (credentials !== undefined && 'identityToken' in credentials) {
      const form = {
        grant_type: 'refresh_token',
        client_id: CLIENT,
        refresh_token: credentials.identityToken,
        ...asked,
      };
      const headers = { 'content-type': 'application/x-www-form-urlencoded' };
      return { method: 'POST', url: realm, headers, body: new URLSearchParams(form).toString() };
    }
    const url = new URL(realm);
    if (asked.service !== '') url.searchParams.set('service', asked.service);
    for (const scope of asked.scope.split(' ')) if (scope !== '') url.searchParams.append('scope', scope);
    const basic = this.#basic();
    return { method: 'GET', url, ...(basic === undefined ? {} : { headers: { authorization: basic } }) };
  }

  /** Credentials go to the realm that the registry names: not in the clear, and not to where no such service is. */
  #checkRealm(text: string): URL {
    const realm = URL.canParse(text) ? new URL(text) : undefined;
    const registry = this.#registry;
    if (realm === undefined) throw new Error(`${registry.host} names no realm to authenticate at`);
    // In the clear over a network only where the registry itself is.
    const isPlainAllowed = registry.protocol === 'http:' && (!isLoopback(registry) || isLoopback(realm));
    const isAllowed = realm.protocol === 'https:' || (realm.protocol === 'http:' && isPlainAllowed);
    if (!isAllowed || (isLoopback(realm) && !isLoopback(registry))) {
      throw new Error(`${registry.host} sends credentials to ${realm.protocol}//${realm.host}, which is refused`);
    }
    refuseLinkLocal(realm);
    return realm;
  }
}
