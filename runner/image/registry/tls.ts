import { createSecureContext, type SecureContext } from 'node:tls';
import { type LookupFunction } from 'node:net';
import { buildConnector } from 'undici';
import { type Certificates, machineAuthorities } from './certificates.ts';
import { codeOf } from './error-code.ts';

export interface TlsOptions {
  /** Whether certificates are checked. */
  readonly tlsVerify: boolean;
  readonly certificates?: Certificates | undefined;
  /** The host that is shown our certificates: no other is. */
  readonly host?: string | undefined;
}

/** TLS to a registry and to where it leads. What it is held against is read when a connection needs it, and once. */
export class Tls {
  readonly #options: TlsOptions;
  /** With our own certificates (true), and without. */
  readonly #contexts = new Map<boolean, SecureContext>();

  /** Last errors of connections, by host. */
  readonly #alerts = new Map<string, Error>();

  constructor(options: TlsOptions) {
    this.#options = options;
  }

  /** What a host has said as it ended a connection; undefined where it has said nothing about TLS. */
  alertOf(hostname: string): Error | undefined {
    const alert = this.#alerts.get(hostname);
    return alert !== undefined && /^ERR_SSL_.*ALERT/.test(codeOf(alert)) ? alert : undefined;
  }

  /** Whether a host is the one that our certificates are for. */
  isOwn(hostname: string): boolean {
    return hostname === this.#options.host;
  }

  /** Options of tls.connect for a host. */
  connectOptions(isOwn: boolean): { readonly rejectUnauthorized: boolean; readonly secureContext: SecureContext } {
    const { tlsVerify, certificates } = this.#options;
    const isKnown = isOwn && certificates !== undefined && certificates.clients.length > 0;
    const secureContext = this.#contexts.get(isKnown) ?? this.#createContext(isKnown);
    this.#contexts.set(isKnown, secureContext);
    return { rejectUnauthorized: tlsVerify, secureContext };
  }

  #createContext(isKnown: boolean): SecureContext {
    const { certificates, host } = this.#options;
    const clients = isKnown ? (certificates?.clients ?? []) : [];
    const trusted = machineAuthorities();
    try {
      return createSecureContext({
        ca: [...trusted, ...(certificates?.authorities ?? [])],
        ...(isKnown ? { cert: clients.map(({ cert }) => cert), key: clients.map(({ key }) => key) } : {}),
      });
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new Error(`cannot use the certificates for ${host ?? 'it'}: ${why}`, { cause: error });
    }
  }

  /** What undici connects by. */
  connector(lookup: LookupFunction): buildConnector.connector {
    const plain = buildConnector({ lookup });
    const secure = new Map<boolean, buildConnector.connector>();
    return (asked, callback) => {
      if (asked.protocol !== 'https:') {
        plain(asked, callback);
        return;
      }
      const isOwn = this.isOwn(asked.hostname);
      try {
        const connect = secure.get(isOwn) ?? buildConnector({ lookup, ...this.connectOptions(isOwn) });
        secure.set(isOwn, connect);
        connect(asked, this.#listening(asked.hostname, callback));
      } catch (error) {
        callback(error instanceof Error ? error : new Error(String(error)), null);
      }
    };
  }

  /** In TLS 1.3 a server says after the handshake what it thinks of our certificate; undici tells of the end alone. */
  #listening(hostname: string, callback: buildConnector.Callback): buildConnector.Callback {
    return (...connected) => {
      connected[1]?.once('error', (alert: Error) => this.#alerts.set(hostname, alert));
      callback(...connected);
    };
  }
}
