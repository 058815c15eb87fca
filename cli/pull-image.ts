import { type Image } from '../runner/image/image.ts';
import { parseLimits } from '../runner/image/limits.ts';
import { hostPlatform, parsePlatform } from '../runner/image/platform.ts';
import { pullImage } from '../runner/image/pull.ts';
import { type Reference } from '../runner/image/reference.ts';
import { type Store } from '../runner/image/store.ts';
import { Warnings } from '../runner/image/warnings.ts';
import { complain, messageOf } from './complain.ts';
import { PULLED } from './progress.ts';
import { openRegistry, progressFor, type RegistryFlags } from './registry-flags.ts';

export interface PullFlags extends RegistryFlags {
  readonly platform?: string;
  readonly limit: readonly string[];
}

/** Takes one image into the store, and tells of it on the way. */
export async function pullByName(store: Store, name: string, reference: Reference, flags: PullFlags): Promise<Image> {
  const warnings = new Warnings();
  const progress = progressFor(flags, PULLED);
  const registry = await openRegistry(reference, flags);
  try {
    return await pullImage(store, registry, reference, {
      platform: flags.platform === undefined ? hostPlatform() : parsePlatform(flags.platform),
      limits: parseLimits(flags.limit),
      warnings,
      progress: {
        begin: (digest, size) => progress.layer(digest, size),
        settle: (digest) => progress.settle(digest, 'exists'),
      },
    });
  } catch (error) {
    throw new Error(`cannot pull ${name}: ${messageOf(error)}`, { cause: error });
  } finally {
    progress.end();
    await registry.close();
    warnings.lines().forEach(complain);
  }
}
