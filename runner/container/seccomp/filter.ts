import { release } from 'node:os';
import { type SeccompChoice } from '../options/security.ts';
import { type SeccompSpec } from '../spec.ts';
import { thisMachine } from './architectures.ts';
import { cachedFilter } from './filter-cache.ts';
import { policyOf } from './policy.ts';
import { type SeccompProfile } from './profile.ts';

/**
 * The seccomp filter of a container; undefined where it is to have none.
 *
 * @param capabilities the bounding set of the container, as CAP_*.
 * @param cache directory of filters that were compiled before.
 */
export async function seccompFilter(
  choice: SeccompChoice,
  capabilities: readonly string[],
  cache: string,
): Promise<SeccompSpec | undefined> {
  const profile = await profileOf(choice);
  if (profile === undefined) return undefined;
  const context = { machine: thisMachine(), kernelRelease: release(), capabilities: new Set(capabilities) };
  const policy = policyOf(profile, context);
  return { program: cachedFilter(policy, cache).toString('base64'), flags: policy.flags };
}

async function profileOf(choice: SeccompChoice): Promise<SeccompProfile | undefined> {
  if (choice === 'unconfined') return undefined;
  if (choice === 'default') return (await import('./default-profile.ts')).DEFAULT_PROFILE;
  const { parseSeccompProfile } = await import('./parse-profile.ts');
  return parseSeccompProfile(Buffer.from(choice.text), choice.origin);
}
