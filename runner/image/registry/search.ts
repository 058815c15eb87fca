import { asArray, asObject, isObject, optionalString, parseJson } from '../json.ts';
import { DOCUMENT_BYTES } from '../limits.ts';
import { readBody } from './body.ts';
import { readPages } from './pages.ts';
import { type Registry } from './registry.ts';
import { type HttpResponse } from './transport.ts';

/** A repository that a search has found. */
export interface FoundRepository {
  /** `docker.io/library/debian`. */
  readonly name: string;
  readonly description: string;
  readonly stars: number;
  readonly isOfficial: boolean;
  readonly isAutomated: boolean;
}

const HUB = 'docker.io';
/** Where docker's hub is searched, which is not where its images are. */
const HUB_INDEX = 'https://index.docker.io/';

/**
 * Searches a registry: as docker's hub can be, or else the list of its repositories for a part of their names.
 *
 * @param registry of any path.
 */
export async function searchRegistry(
  registry: Registry,
  domain: string,
  term: string,
  limit: number,
): Promise<FoundRepository[]> {
  const path = `v1/search?q=${encodeURIComponent(term)}&n=${limit}`;
  const response =
    domain === HUB
      ? await registry.transport.send({ method: 'GET', url: new URL(path, HUB_INDEX) })
      : await registry.get(path, '');
  if (response.status === 200) return (await readResults(response, domain)).slice(0, limit);
  if (domain === HUB) throw await registry.failure(response, 'its search');
  await response.body.dump();
  const names = await readPages((query) => askCatalog(registry, query), 'repositories', `repositories of ${domain}`);
  return names
    .filter((name) => name.includes(term))
    .slice(0, limit)
    .map((name) => listed(`${domain}/${name}`));
}

async function askCatalog(registry: Registry, query: string): Promise<HttpResponse> {
  const response = await registry.get(`v2/_catalog${query}`, 'registry:catalog:*');
  if (response.status !== 200) throw await registry.failure(response, 'its list of repositories');
  return response;
}

function listed(name: string): FoundRepository {
  return { name, description: '', stars: 0, isOfficial: false, isAutomated: false };
}

async function readResults(response: HttpResponse, domain: string): Promise<FoundRepository[]> {
  const what = `answer of ${response.url.host} to a search`;
  const answer = asObject(parseJson(await readBody(response.body, DOCUMENT_BYTES, what), what), what);
  const results = asArray(answer['results'] ?? [], what).filter(isObject);
  return results.map((result) => {
    const name = optionalString(result['name'], `${what}: name`);
    const stars = Number(result['star_count']);
    return {
      name: domain === HUB && !name.includes('/') ? `${domain}/library/${name}` : `${domain}/${name}`,
      description: optionalString(result['description'], `${what}: description`),
      stars: Number.isSafeInteger(stars) ? stars : 0,
      isOfficial: result['is_official'] === true,
      isAutomated: result['is_automated'] === true,
    };
  });
}
