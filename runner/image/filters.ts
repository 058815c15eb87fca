import { hexOf } from './digest.ts';
import { type Image } from './image.ts';
import { familiarName, familiarParts } from './reference.ts';
import { type Store } from './store.ts';

/** What an image must be like. */
export type ImageFilter = (image: Image) => boolean;

const KEYS = [
  'dangling',
  'reference',
  'label',
  'label!',
  'before',
  'since',
  'after',
  'until',
  'id',
  'digest',
  'containers',
] as const;
type Key = (typeof KEYS)[number];

/** For help. */
export const FILTER_NAMES = KEYS.filter((key) => key !== 'label!').join(', ');

function isKey(text: string): text is Key {
  return (KEYS as readonly string[]).includes(text);
}

/**
 * Reads docker's filters, `KEY=VALUE` each. An image must pass all; of several references, one is enough.
 *
 * @param store resolves the images of `before` and `since`.
 */
export function parseFilters(texts: readonly string[], store: Store): ImageFilter {
  const references: RegExp[] = [];
  const filters: ImageFilter[] = [];
  for (const text of texts) {
    const at = text.indexOf('=');
    const [key, value] = [text.slice(0, Math.max(at, 0)), text.slice(at + 1)];
    if (!isKey(key)) throw new Error(`filter ${JSON.stringify(text)} is not KEY=VALUE with one of ${FILTER_NAMES}`);
    if (key === 'reference') references.push(globOf(value));
    else filters.push(filterOf(key, value, store));
  }
  if (references.length > 0) filters.push(({ names }) => names.some((name) => isNamedLike(name, references)));
  return (image) => filters.every((filter) => filter(image));
}

function filterOf(key: Exclude<Key, 'reference'>, value: string, store: Store): ImageFilter {
  switch (key) {
    case 'dangling': {
      const wanted = parseBoolean(key, value);
      return ({ names }) => (names.length === 0) === wanted;
    }
    case 'containers': {
      const [wanted, users] = [parseBoolean(key, value), store.users()];
      return ({ id }) => users.has(id) === wanted;
    }
    case 'label':
      return labelFilter(value);
    case 'label!': {
      const isLabelled = labelFilter(value);
      return (image) => !isLabelled(image);
    }
    case 'id':
      return ({ id }) => id.startsWith(value) || hexOf(id).startsWith(value);
    case 'digest':
      return ({ manifests, repoDigests }) =>
        [...manifests, ...repoDigests].some((text) => text.replace(/^.*@/, '').startsWith(value));
    case 'before': {
      const time = timeOf(store.resolve(value).created);
      return ({ created }) => timeOf(created) < time;
    }
    case 'since':
    case 'after': {
      const time = timeOf(store.resolve(value).created);
      return ({ created }) => timeOf(created) > time;
    }
    case 'until': {
      const time = parseMoment(value);
      return ({ created }) => timeOf(created) < time;
    }
  }
}

function parseBoolean(key: Key, value: string): boolean {
  if (/^(?:true|false|1|0)$/.test(value)) return value === 'true' || value === '1';
  throw new Error(`filter ${key}=${value} is neither true nor false`);
}

// What does not say when it was made is older than all that does.
function timeOf(created: string | undefined): number {
  const time = Date.parse(created ?? '');
  return Number.isFinite(time) ? time : 0;
}

function labelFilter(text: string): ImageFilter {
  const at = text.indexOf('=');
  const [name, value] = at < 0 ? [text, undefined] : [text.slice(0, at), text.slice(at + 1)];
  return ({ config: { labels } }) => Object.hasOwn(labels, name) && (value === undefined || labels[name] === value);
}

const UNITS: Readonly<Record<string, number>> = { s: 1e3, m: 60e3, h: 3600e3 };

/** `24h`, `1h30m`, a date of ISO 8601, or seconds since 1970: milliseconds since then. */
export function parseMoment(text: string): number {
  if (/^\d+$/.test(text)) return Number(text) * 1000;
  if (/^(?:\d+(?:\.\d+)?[hms])+$/.test(text)) {
    const parts = [...text.matchAll(/(\d+(?:\.\d+)?)([hms])/g)];
    return parts.reduce((time, [, count, unit]) => time - Number(count) * (UNITS[unit ?? ''] ?? 0), Date.now());
  }
  const time = Date.parse(text);
  if (Number.isFinite(time)) return time;
  throw new Error(`${JSON.stringify(text)} is neither a time nor a duration such as 24h`);
}

/** Whether a full name is like a pattern, with or without its tag. */
export function isNamedLike(name: string, patterns: readonly RegExp[]): boolean {
  return patterns.some((pattern) => pattern.test(familiarName(name)) || pattern.test(familiarParts(name).repository));
}

/** A pattern of a shell, whose `*` stops at a slash, as an expression. */
export function globOf(pattern: string): RegExp {
  const source = pattern.replace(/\*|\?|\[[^\]]+\]|[^*?[]+|\[/g, (part) => {
    if (part === '*') return '[^/]*';
    if (part === '?') return '[^/]';
    if (part.startsWith('[') && part.length > 1) return `[${part.slice(1, -1).replace(/[\\[\]]/g, '\\$&')}]`;
    return part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  });
  try {
    return new RegExp(`^${source}$`);
  } catch {
    throw new Error(`${JSON.stringify(pattern)} is not a pattern`);
  }
}
