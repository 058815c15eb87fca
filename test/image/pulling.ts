import { type Image } from '../../runner/image/image.ts';
import { DEFAULT_LIMITS, type Limits } from '../../runner/image/limits.ts';
import { parsePlatform } from '../../runner/image/platform.ts';
import { pullImage } from '../../runner/image/pull.ts';
import { parseReference } from '../../runner/image/reference.ts';
import { type Credentials } from '../../runner/image/registry/credentials.ts';
import { Registry } from '../../runner/image/registry/registry.ts';
import { type Store } from '../../runner/image/store.ts';
import { Warnings } from '../../runner/image/warnings.ts';
import { type FakeRegistry } from './fake-registry.ts';

export interface Pull {
  readonly credentials?: Credentials;
  readonly platform?: string;
  /** Is told of layers that are there already. */
  readonly exists?: string[];
  readonly limits?: Limits;
  readonly tlsVerify?: boolean;
  readonly patience?: number;
  /** In place of the registry's address. */
  readonly host?: string;
}

/** Pulls `team/app` and what `name` adds: `:TAG` or `@DIGEST`. */
export async function pull(store: Store, remote: FakeRegistry, name: string, options: Pull = {}): Promise<Image> {
  const reference = parseReference(`${options.host ?? remote.host}/team/app${name}`);
  const { credentials, exists } = options;
  const { tlsVerify = true, patience } = options;
  const registry = new Registry(reference, {
    credentials,
    tlsVerify,
    backOff: 1,
    ...(patience === undefined ? {} : { patience }),
  });
  try {
    return await pullImage(store, registry, reference, {
      platform: parsePlatform(options.platform ?? 'linux/amd64'),
      limits: options.limits ?? DEFAULT_LIMITS,
      warnings: new Warnings(),
      progress: { begin: () => () => undefined, settle: (digest) => exists?.push(digest) },
    });
  } finally {
    await registry.close();
  }
}
