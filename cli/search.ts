import { Command, Option } from 'commander';
import { hasDomain, parseReference, type Reference, repositoryOf } from '../runner/image/reference.ts';
import { readRegistriesConf } from '../runner/image/registry/registries-conf.ts';
import { type FoundRepository, searchRegistry } from '../runner/image/registry/search.ts';
import { meaningsOf } from '../runner/image/registry/short-names.ts';
import { certDirOption } from './cert-dir.ts';
import { complain, messageOf } from './complain.ts';
import { print } from './print.ts';
import { openDestination, openSource, type RegistryFlags } from './registry-flags.ts';
import { type Listing, listLines } from './table.ts';
import { type Row } from './template.ts';
import { tlsVerifyOption } from './tls-verify.ts';
import { collect } from './container-flags/collect.ts';

interface Flags extends RegistryFlags {
  readonly limit: string;
  readonly listTags?: true;
  readonly compatible?: true;
  readonly trunc: boolean;
  readonly filter: readonly string[];
  readonly format?: string;
}

const TITLES = {
  Index: 'INDEX',
  Name: 'NAME',
  Description: 'DESCRIPTION',
  Stars: 'STARS',
  Official: 'OFFICIAL',
  Automated: 'AUTOMATED',
  Tag: 'TAG',
} as const;

const MOST = 1000;
const LONGEST_DESCRIPTION = 44;

const HELP = `
docker.io's search knows descriptions; of most other registries the list of repositories is looked through for the term, which
some do not give out. A term without a registry is looked for in the unqualified-search-registries of registries.conf, or in
docker.io.

Example: lamina search --list-tags registry.example/team/debian`;

/** `lamina search`. */
export function createCommand(): Command {
  return new Command('search')
    .description('Search registries for repositories, or list the tags of one.')
    .argument('<term>', 'a part of the name; with a registry before it, there alone')
    .option('--limit <number>', 'how many of each registry', '25')
    .option('--list-tags', 'list the tags of the repository that is named')
    .option('-f, --filter <key=value>', 'only some: stars=3, is-official, is-automated; can be repeated', collect, [])
    .option('--format <format>', `table, json, or a Go template; fields: ${Object.keys(TITLES).join(', ')}`)
    .option('--compatible', 'with stars and what is official, as docker shows it')
    .option('--no-trunc', 'print whole descriptions')
    .addOption(tlsVerifyOption())
    .addOption(certDirOption())
    .addOption(new Option('--creds <user[:password]>', 'credentials, in place of those that login keeps'))
    .option('--authfile <file>', 'where the credentials are, in place of all files of login')
    .addHelpText('after', HELP)
    .action(search);
}

async function search(term: string, flags: Flags): Promise<void> {
  const limit = Number(flags.limit);
  if (!Number.isInteger(limit) || limit < 1 || limit > MOST) {
    throw new Error(`--limit ${flags.limit} is not a number from 1 to ${MOST}`);
  }
  if (flags.listTags === true) await listTags(term, limit, flags);
  else await listFound(term, limit, flags);
}

async function listTags(name: string, limit: number, flags: Flags): Promise<void> {
  const [reference] = meaningsOf(name, readRegistriesConf());
  const repository = await openSource(reference, flags);
  try {
    const tags = (await repository.tags()).slice(0, limit);
    const rows = tags.map((tag) => ({ Name: repositoryOf(reference), Tag: tag }));
    show(rows, { titles: TITLES, columns: ['Name', 'Tag'] }, flags);
  } catch (error) {
    throw new Error(`cannot list the tags of ${name}: ${messageOf(error)}`, { cause: error });
  } finally {
    await repository.close();
  }
}

async function listFound(text: string, limit: number, flags: Flags): Promise<void> {
  const isWanted = filterOf(flags.filter);
  const [domains, term] = placesOf(text);
  const found: FoundRepository[] = [];
  let failures = 0;
  for (const domain of domains) {
    try {
      found.push(...(await searchAt(domain, term, limit, flags)));
    } catch (error) {
      // Another may be there.
      failures += 1;
      complain(`cannot search ${domain}: ${messageOf(error)}`);
    }
  }
  if (failures > 0) process.exitCode = 1;
  if (failures === domains.length) return;
  const columns = ['Name', 'Description', ...(flags.compatible === true ? ['Stars', 'Official', 'Automated'] : [])];
  const rows = found.filter(isWanted).map((one) => rowOf(one, flags.trunc));
  show(rows, { titles: TITLES, columns }, flags);
}

function show(rows: readonly Row[], listing: Listing, { format }: Flags): void {
  for (const line of listLines(rows, listing, format)) print(`${line}\n`);
}

/** Where a term is looked for, and what is left of it. */
function placesOf(text: string): [domains: readonly string[], term: string] {
  const slash = text.indexOf('/');
  if (slash > 0 && hasDomain(text)) return [[text.slice(0, slash)], text.slice(slash + 1)];
  return [readRegistriesConf().searched ?? ['docker.io'], text];
}

async function searchAt(domain: string, term: string, limit: number, flags: Flags): Promise<FoundRepository[]> {
  // Any repository: what is asked is the registry.
  const reference: Reference = parseReference(`${domain}/any`);
  const { registry } = await openDestination(reference, flags);
  try {
    return await searchRegistry(registry, domain, term, limit);
  } finally {
    await registry.close();
  }
}

function filterOf(filters: readonly string[]): (found: FoundRepository) => boolean {
  const checks = filters.map((filter): ((found: FoundRepository) => boolean) => {
    const stars = /^stars=(\d+)$/.exec(filter)?.[1];
    if (stars !== undefined) return (found) => found.stars >= Number(stars);
    const [, key, value = 'true'] = /^is-(official|automated)(?:=(true|false))?$/.exec(filter) ?? [];
    if (key === 'official') return ({ isOfficial }) => isOfficial === (value === 'true');
    if (key === 'automated') return ({ isAutomated }) => isAutomated === (value === 'true');
    throw new Error(`filter ${JSON.stringify(filter)} is none of stars=NUMBER, is-official and is-automated`);
  });
  return (found) => checks.every((check) => check(found));
}

function rowOf({ name, description, stars, isOfficial, isAutomated }: FoundRepository, trunc: boolean): Row {
  const text = description.replace(/\s+/g, ' ').trim();
  const isLong = trunc && text.length > LONGEST_DESCRIPTION;
  return {
    Index: name.slice(0, name.indexOf('/')),
    Name: name,
    Description: isLong ? `${text.slice(0, LONGEST_DESCRIPTION - 3)}...` : text,
    Stars: stars,
    Official: isOfficial ? '[OK]' : '',
    Automated: isAutomated ? '[OK]' : '',
  };
}
