import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { type ByteString, toBytes } from '../../fs/sys/bytes.ts';
import { Container } from './container.ts';

/** What belongs to an upper: its workdir, and the layers below, the topmost first. */
export interface KnownLayers {
  readonly work: ByteString;
  readonly lowers: readonly ByteString[];
}

/** The layers that go with an upper which lies in a store that says so: ours, podman's or docker's. */
export function layersOf(upper: ByteString): KnownLayers | undefined {
  const path = Buffer.from(upper, 'latin1').toString('utf8');
  return ours(resolve(path)) ?? podmans(resolve(path));
}

function ours(upper: string): KnownLayers | undefined {
  try {
    const container = Container.open(dirname(upper));
    if (container.upper !== upper || !Array.isArray(container.config.layers)) return undefined;
    return { work: toBytes(container.work), lowers: container.lowers };
  } catch {
    return undefined;
  }
}

/** `ID/diff` beside `ID/work` and `ID/lower`, which has the paths of the layers from the directory of all IDs. */
function podmans(upper: string): KnownLayers | undefined {
  if (!upper.endsWith('/diff')) return undefined;
  const directory = dirname(upper);
  try {
    const lower = readFileSync(`${directory}/lower`, 'latin1').trim();
    const all = toBytes(dirname(directory));
    const lowers = lower.split(':').map((path) => (path.startsWith('/') ? path : `${all}/${path}`));
    return { work: toBytes(`${directory}/work`), lowers };
  } catch {
    return undefined;
  }
}
