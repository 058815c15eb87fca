import { type StoredVolume, type VolumeStore } from '../runner/container/volume/volume-store.ts';
import { globOf } from '../runner/image/filters.ts';
import { type Row } from './template.ts';

/** As `docker volume inspect` shows one. */
export function inspectedVolume({ name, created, labels, isAnonymous, data }: StoredVolume): Row {
  return {
    CreatedAt: created,
    Driver: 'local',
    Labels: labels,
    Mountpoint: data,
    Name: name,
    Options: null,
    Scope: 'local',
    Anonymous: isAnonymous,
  };
}

/** As `docker volume ls` has it in a line. */
export function listedVolume(volume: StoredVolume): Row {
  const labels = Object.entries(volume.labels).map(([name, value]) => (value === '' ? name : `${name}=${value}`));
  return { ...inspectedVolume(volume), Labels: labels.join(',') };
}

type Filter = (volume: StoredVolume) => boolean;

const KEYS = ['dangling', 'driver', 'label', 'name', 'anonymous'] as const;

/** For help. */
export const VOLUME_FILTERS = KEYS.join(', ');

/** Docker's filters, `KEY=VALUE` each: a volume must pass all; of several names, one is enough. */
export function volumeFilter(texts: readonly string[], volumes: VolumeStore): Filter {
  const names: RegExp[] = [];
  const filters: Filter[] = [];
  for (const text of texts) {
    const at = text.indexOf('=');
    const [key, value] = at < 0 ? [text, ''] : [text.slice(0, at), text.slice(at + 1)];
    if (key === 'name') names.push(new RegExp(globOf(value).source.slice(1, -1)));
    else filters.push(filterOf(text, key, value, volumes));
  }
  return (volume) =>
    filters.every((filter) => filter(volume)) && (names.length === 0 || names.some((name) => name.test(volume.name)));
}

function filterOf(text: string, key: string, value: string, volumes: VolumeStore): Filter {
  switch (key) {
    case 'dangling': {
      const wanted = booleanOf(text, value);
      return (volume) => (volumes.usersOf(volume).length === 0) === wanted;
    }
    case 'anonymous': {
      const wanted = booleanOf(text, value);
      return ({ isAnonymous }) => isAnonymous === wanted;
    }
    case 'driver':
      return () => value === 'local';
    case 'label':
      return hasLabel(value);
    case 'label!': {
      const isLabelled = hasLabel(value);
      return (volume) => !isLabelled(volume);
    }
    default:
      throw new Error(`filter ${JSON.stringify(text)} is not KEY=VALUE with one of ${VOLUME_FILTERS}`);
  }
}

function hasLabel(value: string): Filter {
  const [name = '', ...rest] = value.split('=');
  return ({ labels }) => Object.hasOwn(labels, name) && (rest.length === 0 || labels[name] === rest.join('='));
}

function booleanOf(text: string, value: string): boolean {
  if (['true', '1'].includes(value)) return true;
  if (['false', '0'].includes(value)) return false;
  throw new Error(`filter ${text} is neither true nor false`);
}
