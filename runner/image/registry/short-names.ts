import { hasDomain, parseReference, type Reference } from '../reference.ts';
import { type RegistriesConf } from './registries-conf.ts';

/** What a name may mean, the likeliest first: docker.io's, unless registries.conf says something else of short names. */
export function meaningsOf(text: string, { aliases, searched }: RegistriesConf): readonly [Reference, ...Reference[]] {
  // Refused as it stands, before anything is made of it.
  const plain = parseReference(text);
  if (hasDomain(text)) return [plain];
  const [name = '', suffix = ''] = /^([^:@]*)(.*)$/s.exec(text)?.slice(1) ?? [];
  const alias = aliases.get(name);
  if (alias !== undefined) return [parseReference(alias + suffix)];
  const [first, ...rest] = (searched ?? []).map((registry) => parseReference(`${registry}/${text}`));
  return first === undefined ? [plain] : [first, ...rest];
}
