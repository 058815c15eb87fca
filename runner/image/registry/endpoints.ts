import { parseReference, type Reference, repositoryOf } from '../reference.ts';
import { type RegistriesConf, type RegistryRule } from './registries-conf.ts';

/** Where a reference is to be looked for. */
export interface Endpoint {
  readonly reference: Reference;
  /** Whether it need not have a certificate that is vouched for, nor TLS. */
  readonly insecure: boolean;
}

/** All places for a reference, mirrors first, the registry itself last. Throws where the registry is blocked. */
export function endpointsOf(reference: Reference, conf: RegistriesConf): readonly [...Endpoint[], Endpoint] {
  const text = textOf(reference);
  const rule = findRule(text, conf);
  if (rule === undefined) return [{ reference, insecure: false }];
  if (rule.blocked) throw new Error(`registries.conf blocks ${rule.prefix}`);
  const isByDigest = reference.digest !== undefined;
  const mirrors = rule.mirrors.filter(({ use }) => use === 'all' || (use === 'digest-only') === isByDigest);
  return [...mirrors.map((mirror) => moved(text, rule, mirror)), moved(text, rule, rule)];
}

/** The reference with all that it has. */
export function textOf(reference: Reference): string {
  const { tag, digest } = reference;
  return `${repositoryOf(reference)}${tag === '' ? '' : `:${tag}`}${digest === undefined ? '' : `@${digest}`}`;
}

/** The rule with the longest prefix. */
function findRule(text: string, { rules }: RegistriesConf): RegistryRule | undefined {
  const matching = rules.filter(({ prefix }) => matchedLength(text, prefix) > 0);
  return matching.sort((one, other) => other.prefix.length - one.prefix.length)[0];
}

/** How much of the text a prefix covers; 0 where it is none. One that begins with `*.` is for all hosts below. */
function matchedLength(text: string, prefix: string): number {
  const isWildcard = prefix.startsWith('*.');
  const host = /^[^/:]*/.exec(text)?.[0] ?? '';
  const suffix = prefix.slice(1);
  const length = isWildcard ? (host.endsWith(suffix) && host !== suffix ? host.length : 0) : prefix.length;
  if (length === 0 || (!isWildcard && !text.startsWith(prefix))) return 0;
  return length === text.length || /[/:@]/.test(text.charAt(length)) ? length : 0;
}

function moved(
  text: string,
  { prefix }: RegistryRule,
  { location, insecure }: { readonly location: string; readonly insecure: boolean },
): Endpoint {
  const place = location === '' ? text : location + text.slice(matchedLength(text, prefix));
  try {
    return { reference: parseReference(place), insecure };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    throw new Error(`registries.conf leads ${text} to ${JSON.stringify(place)}: ${why}`, { cause: error });
  }
}
