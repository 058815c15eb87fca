import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { Content, Sequence } from '../../bench/image/content.ts';
import { runImageBenchmark } from '../../bench/image/benchmark.ts';
import { openFixture } from '../../bench/image/fixture.ts';
import { formatImageReport } from '../../bench/image/report.ts';
import { createLamina } from '../../bench/image/tools.ts';
import { DIST } from '../support/paths.ts';
import { firstMissing, has, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';

const missing = firstMissing(isRoot(), hasFuseDevice(), has('docker-registry'), has('time'));

test('Content is the same each time and compresses', () => {
  const digests = [1, 1, 2].map((seed) => {
    const content = new Content(new Sequence(seed));
    return createHash('sha256').update(content.text()).update(content.program()).digest('hex');
  });
  expect(digests[0]).toBe(digests[1]);
  expect(digests[0]).not.toBe(digests[2]);
  const program = new Content(new Sequence(1)).program();
  const packed = gzipSync(program).length / program.length;
  expect(packed).toBeGreaterThan(0.2);
  expect(packed).toBeLessThan(0.8);
});

test.skipIf(missing)(
  titled('runImageBenchmark measures pull, push and commit, and keeps its image', missing),
  async () => {
    // Short: podman's rule for its runroot is the reason for the same in the benchmark.
    const scratch = mkdtempSync('/tmp/bench-');
    try {
      const size = { bytes: 2 << 20, layers: 2 };
      const fixture = await openFixture(join(scratch, 'image'), size);
      expect(await openFixture(join(scratch, 'image'), size)).toEqual(fixture);
      const lost = { ...createLamina(DIST), name: 'lost', missing: () => Promise.resolve('it is not installed') };
      const report = await runImageBenchmark({ scratch, fixture, tools: [createLamina(DIST), lost], rounds: 1 });
      const [round] = report.rounds['lamina'] ?? [];
      for (const step of ['pull', 'push', 'commit'] as const) {
        expect(round?.[step].seconds).toBeGreaterThan(0);
        expect(round?.[step].peakRssKib).toBeGreaterThan(10_000);
      }
      expect(formatImageReport(report)).toMatch(
        /pull +lamina .*\n.*push +lamina .*\n.*commit +lamina .*\n.*missing: lost/,
      );
      expect(readFileSync('/proc/self/mounts', 'utf8')).not.toContain(scratch);
    } finally {
      rmSync(scratch, { recursive: true });
    }
  },
  120_000,
);
