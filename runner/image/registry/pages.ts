import { asObject, optionalStrings, parseJson } from '../json.ts';
import { DOCUMENT_BYTES } from '../limits.ts';
import { readBody } from './body.ts';
import { type HttpResponse } from './transport.ts';

/** Names of one list: a repository has few tags, a registry few thousand repositories. */
const MOST = 10_000;

/**
 * Reads a list that a registry gives page by page.
 *
 * @param ask for the page of a question such as `?last=v1`; empty for the first.
 * @param member of the answer that has the names.
 */
export async function readPages(
  ask: (query: string) => Promise<HttpResponse>,
  member: string,
  what: string,
): Promise<string[]> {
  const names: string[] = [];
  let characters = 0;
  for (let query: string | undefined = ''; query !== undefined;) {
    const response = await ask(query);
    const page = asObject(parseJson(await readBody(response.body, DOCUMENT_BYTES, what), what), what);
    const found = optionalStrings(page[member], what);
    names.push(...found);
    characters += found.reduce((sum, name) => sum + name.length, 0);
    if (names.length > MOST || characters > DOCUMENT_BYTES) throw new Error(`${what} are more than ${MOST}`);
    query = found.length === 0 ? undefined : nextQuery(response);
  }
  return names;
}

/** Of a `Link` header (RFC 8288), the question for what follows; where it is to be asked is known. */
function nextQuery({ headers, url }: HttpResponse): string | undefined {
  const target = /<([^>]*)>\s*;\s*rel="?next"?/.exec(headers['link'] ?? '')?.[1];
  return target === undefined || !URL.canParse(target, url.href) ? undefined : new URL(target, url).search;
}
