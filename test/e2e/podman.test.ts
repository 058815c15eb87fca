import { execFileSync, spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { buildArchive, demoRecipe } from '../../runner/demo/image.ts';
import { DIST } from '../support/paths.ts';
import { firstMissing, has, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';

const missing = firstMissing(isRoot(), hasFuseDevice(), has('podman'), has('runc'));
const IMAGE = 'localhost/demo';

/** podman with a store and a configuration of its own, whose overlays are mounted by fuse-lamina. */
class Podman {
  readonly #directory = mkdtempSync(join(tmpdir(), 'lamina-podman-'));
  readonly #environment: NodeJS.ProcessEnv;

  constructor() {
    const at = (name: string) => join(this.#directory, name);
    // Mapped ids must get through.
    chmodSync(this.#directory, 0o711);
    for (const name of ['graph', 'run']) mkdirSync(at(name));
    // A mount program is one word: it has no arguments of its own.
    const program = `#!/bin/sh\nexec ${DIST}/cli/fuse-lamina "$@"\n`;
    writeFileSync(at('mount-program'), program, { mode: 0o755 });
    writeFileSync(
      at('storage.conf'),
      `[storage]\ndriver = "overlay"\ngraphroot = "${at('graph')}"\nrunroot = "${at('run')}"\n` +
        `[storage.options.overlay]\nmount_program = "${at('mount-program')}"\n`,
    );
    writeFileSync(
      at('containers.conf'),
      '[containers]\nnetns = "none"\ndefault_ulimits = []\n' +
        '[engine]\nruntime = "runc"\nevents_logger = "file"\ncgroup_manager = "cgroupfs"\n',
    );
    this.#environment = {
      ...process.env,
      CONTAINERS_STORAGE_CONF: at('storage.conf'),
      CONTAINERS_CONF: at('containers.conf'),
    };
  }

  /** What a command says; throws where it fails. */
  run(...args: readonly string[]): string {
    const done = spawnSync('podman', args, { env: this.#environment, encoding: 'utf8' });
    if (done.status !== 0) throw new Error(`podman ${args.join(' ')} ended with ${done.status}: ${done.stderr}`);
    return done.stdout;
  }

  async load(): Promise<void> {
    const archive = join(this.#directory, 'image.tar');
    writeFileSync(archive, await buildArchive({ ...(await demoRecipe()), name: IMAGE }));
    this.run('load', '--input', archive);
  }

  /** Daemons and mounts of this store. */
  left(): string[] {
    const mounts = readFileSync('/proc/self/mounts', 'utf8').split('\n');
    return mounts.filter((line) => line.includes(`${this.#directory}/`) && line.includes('fuse'));
  }

  close(): void {
    spawnSync('podman', ['rm', '--all', '--force'], { env: this.#environment });
    execFileSync('sh', [
      '-c',
      'grep " $0/" /proc/self/mounts | cut -d" " -f2 | sort -r | xargs -r umount -l',
      this.#directory,
    ]);
    rmSync(this.#directory, { recursive: true, force: true });
  }
}

describe.skipIf(missing !== undefined)(titled('podman with fuse-lamina as its mount_program', missing), () => {
  let podman: Podman;

  beforeAll(async () => {
    podman = new Podman();
    await podman.load();
  });
  afterAll(() => podman.close());

  test('runs a container, whose changes diff tells, commit keeps and rm takes away', () => {
    const script =
      'echo new >/srv/new; echo more >>/srv/greeting; rm -r /srv/cache; mv /var /var2; mkdir /srv/cache; cat /srv/new';
    expect(podman.run('run', '--name', 'first', IMAGE, 'sh', '-c', script)).toBe('new\n');
    const changes = podman.run('diff', 'first').trim().split('\n');
    expect(changes).toEqual(expect.arrayContaining(['C /srv', 'A /srv/new', 'C /srv/greeting', 'A /var2', 'D /var']));
    podman.run('commit', '--quiet', 'first', 'localhost/made:1');
    const seen = podman.run(
      'run',
      '--rm',
      'localhost/made:1',
      'sh',
      '-c',
      'cat /srv/new; ls /srv/cache | wc -l; ls -d /var2; ls -d /var 2>&1 | wc -c',
    );
    expect(seen).toMatch(/^new\n0\n\/var2\n[1-9]/);
    podman.run('rm', 'first');
    expect(podman.left()).toEqual([]);
  });

  test('runs containers at once, and one with an overlay over a volume', () => {
    const ids = Array.from({ length: 4 }, (_, index) =>
      podman.run('run', '--detach', IMAGE, 'sh', '-c', `echo ${index} >/srv/mine; sleep 1; cat /srv/mine`).trim(),
    );
    for (const [index, id] of ids.entries()) {
      expect(podman.run('wait', id)).toBe('0\n');
      expect(podman.run('logs', id)).toBe(`${index}\n`);
      podman.run('rm', id);
    }
    const source = mkdtempSync(join(tmpdir(), 'lamina-volume-'));
    try {
      writeFileSync(join(source, 'below'), 'below');
      const volume = `${source}:/data:O`;
      expect(podman.run('run', '--rm', '-v', volume, IMAGE, 'sh', '-c', 'echo x >/data/above; cat /data/below')).toBe(
        'below',
      );
      expect(readFileSync(join(source, 'below'), 'utf8')).toBe('below');
    } finally {
      rmSync(source, { recursive: true });
    }
    expect(podman.left()).toEqual([]);
  });
});
