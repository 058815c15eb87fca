import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    globalSetup: ['test/support/global-setup.ts'],
    // Tests mount filesystems and start containers: the limits are for a hung mount, not for speed.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
    // A network of its own makes a container's start dearer; test/container/network.test.ts asks for it.
    env: { LAMINA_NETWORK: 'host' },
  },
});
