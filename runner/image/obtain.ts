import { type Image } from './image.ts';
import { describePlatform, type Platform, platformMatches } from './platform.ts';
import { type Store } from './store.ts';
import { unpackedImage } from './unpack-image.ts';
import { type Warnings } from './warnings.ts';

/** When `run` takes an image from its registry; docker's words. */
export const PULL_POLICIES = ['always', 'missing', 'never'] as const;
export type PullPolicy = (typeof PULL_POLICIES)[number];

export interface ObtainOptions {
  readonly policy: PullPolicy;
  /** What the image must be for; without it, whatever the store has will do. */
  readonly platform: Platform | undefined;
  /** Other names that it may have in the store. */
  readonly meanings: () => Promise<readonly string[]>;
  /** Takes the image into the store; answers its id. */
  readonly pull: (store: Store) => Promise<string>;
}

/** The image of that name, unpacked: from the store, or from its registry where the policy says so. */
export async function obtainImage(
  store: Store,
  name: string,
  warnings: Warnings,
  options: ObtainOptions | undefined,
): Promise<Image> {
  if (options === undefined) return unpackedImage(store, name, warnings);
  const { policy, platform, pull } = options;
  const found = await findName(store, name, options);
  if (policy === 'never' || (policy === 'missing' && found !== undefined && isFor(store, found, platform))) {
    const image = await unpackedImage(store, found ?? name, warnings);
    if (platform === undefined || platformMatches(platform, image.platform)) return image;
    throw new Error(`image ${name} is for ${describePlatform(image.platform)}, not for ${describePlatform(platform)}`);
  }
  if (name.startsWith('sha256:')) return unpackedImage(store, name, warnings);
  return unpackedImage(store, await pull(store), warnings);
}

async function findName(store: Store, name: string, { meanings }: ObtainOptions): Promise<string | undefined> {
  if (store.isThere(name)) return name;
  return (await meanings()).find((meaning) => store.isThere(meaning));
}

/** A damaged image counts: its own error says more than a pull's. */
function isFor(store: Store, name: string, platform: Platform | undefined): boolean {
  if (platform === undefined) return true;
  const image = store.find(name);
  return image === undefined || platformMatches(platform, image.platform);
}
