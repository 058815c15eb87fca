import { type Image } from '../runner/image/image.ts';
import { parseLimits } from '../runner/image/limits.ts';
import { hostPlatform, parsePlatform, type Platform } from '../runner/image/platform.ts';
import { pullImage } from '../runner/image/pull.ts';
import { type Reference, repositoryOf } from '../runner/image/reference.ts';
import { readRegistriesConf } from '../runner/image/registry/registries-conf.ts';
import { textOf } from '../runner/image/registry/endpoints.ts';
import { meaningsOf } from '../runner/image/registry/short-names.ts';
import { type Store } from '../runner/image/store.ts';
import { Warnings } from '../runner/image/warnings.ts';
import { complain, messageOf } from './complain.ts';
import { PULLED } from './progress.ts';
import { openSource, progressFor, type RegistryFlags } from './registry-flags.ts';

export interface PullFlags extends RegistryFlags {
  readonly platform?: string;
  readonly os?: string;
  readonly arch?: string;
  readonly variant?: string;
  readonly limit: readonly string[];
}

/** What a name has turned out to mean. */
interface Pulled {
  readonly image: Image;
  readonly reference: Reference;
}

/** Takes one image into the store, and tells of it on the way. Of what a short name may mean, the first that is there. */
export async function pullByName(store: Store, name: string, flags: PullFlags): Promise<Pulled> {
  const failures: unknown[] = [];
  for (const reference of meaningsOf(name, readRegistriesConf())) {
    try {
      return { image: await pullOne(store, reference, flags), reference };
    } catch (error) {
      failures.push(error);
    }
  }
  throw new Error(`cannot pull ${name}: ${failures.map(messageOf).join('; ')}`, { cause: failures[0] });
}

/** A name with each of the tags that its repository has. */
export async function withAllTags(name: string, flags: PullFlags): Promise<string[]> {
  const [reference] = meaningsOf(name, readRegistriesConf());
  if (/[:@]/.test(name.slice(name.lastIndexOf('/') + 1)))
    throw new Error(`--all-tags goes with a name alone, not with ${name}`);
  const repository = await openSource(reference, flags);
  try {
    return (await repository.tags()).map((tag) => `${repositoryOf(reference)}:${tag}`);
  } catch (error) {
    throw new Error(`cannot list the tags of ${name}: ${messageOf(error)}`, { cause: error });
  } finally {
    await repository.close();
  }
}

/** Full names that a short one may have in the store; none for what is a full name, or an id. */
export function shortNameMeanings(name: string): string[] {
  if (name.startsWith('sha256:')) return [];
  return meaningsOf(name, readRegistriesConf()).map((reference) => textOf(reference));
}

/** `--platform`, or podman's three. */
function platformOf({ platform, os, arch, variant }: PullFlags): Platform {
  if (platform !== undefined) return parsePlatform(platform);
  const host = hostPlatform();
  const architecture = arch ?? host.architecture;
  return parsePlatform([os ?? host.os, architecture, ...(variant === undefined ? [] : [variant])].join('/'));
}

async function pullOne(store: Store, reference: Reference, flags: PullFlags): Promise<Image> {
  const warnings = new Warnings();
  const progress = progressFor(flags, PULLED);
  const repository = await openSource(reference, flags);
  try {
    return await pullImage(store, repository, reference, {
      platform: platformOf(flags),
      limits: parseLimits(flags.limit),
      warnings,
      progress: {
        begin: (digest, size) => progress.layer(digest, size),
        settle: (digest) => progress.settle(digest, 'exists'),
      },
    });
  } finally {
    progress.end();
    await repository.close();
    warnings.lines().forEach(complain);
  }
}
