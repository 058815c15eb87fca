import { type Command, Option } from 'commander';
import { type ObtainOptions, PULL_POLICIES, type PullPolicy } from '../../runner/image/obtain.ts';
import { parsePlatform } from '../../runner/image/platform.ts';
import { complain } from '../complain.ts';
import { tlsVerifyOption } from '../tls-verify.ts';
import { collect } from './collect.ts';

/** What the options of `addImageFlags` give. */
export interface ImageFlags {
  readonly pull: PullPolicy;
  readonly platform?: string;
  readonly quiet?: true;
  readonly tlsVerify: string;
  readonly limit?: readonly string[];
}

/** Options of how the container's image comes into the store. */
export function addImageFlags(command: Command): Command {
  return command
    .addOption(
      new Option('--pull <when>', 'take the image from its registry: always, where it is missing, or never')
        .choices(PULL_POLICIES)
        .default('missing'),
    )
    .option(
      '--platform <os/arch>',
      "what the image must be for (default: whatever the store has; of a registry, this machine's)",
    )
    .addOption(tlsVerifyOption())
    .option('-q, --quiet', 'say nothing of a pull')
    .option(
      '--limit <name=value>',
      'what an image that is pulled may ask for: see lamina pull --help; can be repeated',
      collect,
    );
}

export function obtainOptionsOf(image: string, flags: ImageFlags): ObtainOptions {
  const { pull, platform, quiet, tlsVerify, limit = [] } = flags;
  return {
    policy: pull,
    platform: platform === undefined ? undefined : parsePlatform(platform),
    meanings: async () => {
      const { shortNameMeanings } = await import('../pull-image.ts');
      return shortNameMeanings(image);
    },
    pull: async (store) => {
      const isQuiet = quiet === true;
      if (!isQuiet) complain(`pulling image ${image}`);
      // A start that pulls nothing loads nothing of it.
      const { pullByName } = await import('../pull-image.ts');
      const flags = { quiet: isQuiet, tlsVerify, limit, ...(platform === undefined ? {} : { platform }) };
      return (await pullByName(store, image, flags)).image.id;
    },
  };
}
