import { execFileSync } from 'node:child_process';
import { chmodSync, cpSync, mkdtempSync, realpathSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ARCHIVE, IMAGE, PACKAGES, hasDebianImage, hashOfLayers } from '../e2e/debian.ts';
import { firstMissing, has, hasFuseDevice, hasUserNamespaces, isRoot, titled } from '../support/requirements.ts';
import { Lamina, type Outcome, type User, makeUser, removeUser } from './lamina.ts';
import { Tmux, quoted } from './tmux.ts';

/** All work of all kinds of users, which takes minutes and the network; else what takes seconds. */
const ALL = process.env['LAMINA_WORK'] === 'all';
const MINUTES = 60_000;

const WORK = join(import.meta.dirname, 'work');

/** What containers install by themselves, over their network. */
const MORE = [
  ...['git', 'gcc', 'libc6-dev', 'vim', 'sqlite3', 'inotify-tools', 'strace', 'gdb', 'locales', 'logrotate', 'file'],
  ...['python3-venv', 'python3-pip', 'python3-setuptools', 'python3-wheel', 'adduser', 'procps', 'ca-certificates'],
];

/** A script of `work`, executed in the container. */
interface Work {
  readonly script: string;
  readonly does: string;
  readonly prints?: string;
  /** Why it cannot be done where only one id is mapped, in the words of the program that fails. */
  readonly single?: string;
}

const SECONDS: readonly Work[] = [
  {
    script: 'setuid',
    does: 'su, sudo, passwd and a setuid program of one’s own become whom they say',
    single: 'su: cannot set groups: Operation not permitted',
  },
  {
    script: 'capabilities',
    does: 'ping by its file capability, which a copy keeps and a write takes away',
    single: 'setresuid failed: Invalid argument',
  },
  {
    script: 'tmpfiles',
    does: 'systemd-tmpfiles makes what its configuration says',
    prints: `/run/work directory 750 root:adm
/run/work/file regular file 640 root:adm
/run/work/link symbolic link 777 root:root
/run/work/fifo fifo 600 daemon:root
/var/work directory 2775 root:staff
/var/work/passwd regular file 600 root:root
../file
content
value
user:daemon:rwx
`,
    single: 'fchownat() of /run/work failed: Invalid argument',
  },
  {
    script: 'copies',
    does: 'rsync -aHAXS and tar -xp copy links, lists, attributes, holes, capabilities and times',
    prints: 'equal\n',
    single: 'setfacl: directory: Invalid argument',
  },
  {
    script: 'man',
    does: 'man finds and prints a page',
    prints: '       rsync - a fast, versatile, remote (and local) file-copying tool\n',
    single: 'mandb: command not found',
  },
];

const LONGER: readonly Work[] = [
  {
    script: 'build',
    does: 'C is compiled and linked, statically and with a library that ldconfig enters',
    prints: '42\n',
  },
  { script: 'npm', does: 'npm ci installs from a lock file', prints: '1.5.0\npacked\n' },
  {
    script: 'services',
    does: 'sqlite, flock, fallocate, inotifywait, logrotate, locale-gen and pip do as services need',
  },
  { script: 'tracing', does: 'strace and gdb trace their children' },
  {
    script: 'packages',
    does: 'diversions, overrides, alternatives, users and the removal of a package are made',
  },
];

const CLONES = '5000\n5000\n5000\n';
const ROWS = '20000|640000|t\npostgres\nsocket postgres 777\n';

/** A container that stands there to be worked in. */
class Workplace {
  readonly lamina: Lamina;
  readonly #isSingle: boolean;
  readonly #cache: string;

  private constructor(lamina: Lamina, isSingle: boolean) {
    this.lamina = lamina;
    this.#isSingle = isSingle;
    this.#cache = mkdtempSync(join(tmpdir(), 'lamina-work-'));
    chmodSync(this.#cache, 0o755);
  }

  static async make(user: User | undefined, isSingle: boolean): Promise<Workplace> {
    const place = new Workplace(new Lamina(user, tmpdir(), ALL ? OPEN_TUN : []), isSingle);
    const { code, stderr } = await place.lamina.call(['load', '-i', ARCHIVE]);
    expect({ code, stderr }).toMatchObject({ code: 0 });
    const volumes = [...place.#volumes(), `${PACKAGES}:/debs:ro`, `${WORK}:/work:ro`];
    const network = ALL ? 'private' : 'none';
    const options = ['-d', '--name', 'work', '--network', network, ...volumes.flatMap((volume) => ['-v', volume])];
    const made = await place.lamina.call(['run', ...options, IMAGE, 'sleep', 'infinity']);
    expect(made).toMatchObject({ code: 0 });
    return place;
  }

  /** What npm needs: the host's, and a cache that it filled. */
  #volumes(): string[] {
    if (!ALL) return [];
    cpSync(join(WORK, 'npm'), join(this.#cache, 'project'), { recursive: true });
    const cache = join(this.#cache, 'cache');
    execFileSync('npm', ['ci', '--no-audit', '--no-fund', '--cache', cache], { cwd: join(this.#cache, 'project') });
    execFileSync('chmod', ['-R', 'a+rwX', cache]);
    const npm = realpathSync(execFileSync('which', ['npm'], { encoding: 'utf8' }).trim());
    const modules = dirname(dirname(npm));
    return [`${cache}:/npm-cache`, `${process.execPath}:/usr/bin/node:ro`, `${modules}:/usr/lib/npm:ro`];
  }

  async exec(...command: readonly string[]): Promise<Outcome> {
    return this.lamina.call(['exec', 'work', ...command]);
  }

  async does({ script, prints, single }: Work, moment = 'first'): Promise<void> {
    const { code, stdout, stderr } = await this.exec('timeout', '600', 'bash', join('/work', `${script}.sh`), moment);
    if (this.#isSingle && single !== undefined) {
      expect(code).not.toBe(0);
      expect(stderr).toContain(single);
    } else {
      expect({ code, stdout, stderr }).toMatchObject({ code: 0, ...(prints === undefined ? {} : { stdout: prints }) });
    }
  }

  async close(): Promise<void> {
    await this.lamina.close();
    rmSync(this.#cache, { recursive: true });
  }
}

// A /dev/net/tun that everybody may open, for the network of an ordinary user's container.
const OPEN_TUN = [
  ...['unshare', '--mount', 'sh', '-c'],
  'mount -t tmpfs none /mnt && mknod -m 666 /mnt/tun c 10 200 && mount --bind /mnt/tun /dev/net/tun && umount -l /mnt && exec "$@"',
  'sh',
];

const INSTALL = 'export DEBIAN_FRONTEND=noninteractive; set -o pipefail; dpkg -i /debs/$0/*.deb 2>&1 | tail -n 20';
const VERIFY = 'dpkg --audit; dpkg -V $(dpkg-deb -f /debs/$0/$1_*.deb Package)';

interface Kind {
  readonly who: string;
  readonly isSingle: boolean;
  readonly user?: () => User;
}

const RANGE = { start: 730_000_000, count: 65_536 };
const ROOT: Kind = { who: 'root', isSingle: false };
const RANGED: Kind = {
  who: 'an ordinary user with subordinate ids',
  isSingle: false,
  user: () => makeUser('lamina-work', RANGE),
};
const SINGLE: Kind = {
  who: 'an ordinary user with a single id',
  isSingle: true,
  user: () => makeUser('lamina-work-one'),
};

const missing = firstMissing(
  isRoot(),
  hasFuseDevice(),
  hasUserNamespaces(),
  hasDebianImage(),
  ...['useradd', 'setpriv', 'newuidmap', 'tmux'].map(has),
);

describe.skipIf(missing).each(ALL ? [ROOT, RANGED, SINGLE] : [ROOT, RANGED])(
  titled('work in a Debian container of $who', missing),
  (kind) => {
    let user: User | undefined;
    let place: Workplace;

    beforeAll(async () => {
      execFileSync('chmod', ['-R', 'a+rX', PACKAGES, ARCHIVE]);
      user = kind.user?.();
      place = await Workplace.make(user, kind.isSingle);
    }, 10 * MINUTES);

    afterAll(async () => {
      await place.close();
      if (user !== undefined) removeUser(user.name);
    }, 10 * MINUTES);

    /** Packages of a directory, all but those whose files are to belong to others where there is one id. */
    async function installs(directory: string, verified: string, failing: readonly string[]): Promise<void> {
      const { code, stdout } = await place.exec('bash', '-c', INSTALL, directory);
      if (kind.isSingle) {
        expect(code).toBe(1);
        const errors = 'Errors were encountered while processing:\n';
        expect(
          stdout
            .slice(stdout.indexOf(errors) + errors.length)
            .trim()
            .split(/\s+/),
        ).toEqual(failing);
        await place.exec('dpkg', '--purge', '--force-all', 'postgresql-15', 'postgresql-common', 'ssl-cert', 'man-db');
        return;
      }
      expect({ code, stdout }).toMatchObject({ code: 0 });
      expect(await place.exec('sh', '-c', VERIFY, directory, verified)).toMatchObject({ code: 0, stdout: '' });
    }

    test(
      'dpkg installs packages, and perl, find, tar and rm work, in an upper of the container’s own',
      async () => {
        const before = hashOfLayers(place.lamina.root);
        await installs('base', 'man-db', ['/debs/base/man-db_2.11.2-2_amd64.deb']);
        const { code, stdout, stderr } = await place.exec('bash', '/work/basics.sh');
        expect({ code, stdout, stderr }).toMatchObject({ code: 0, stdout: 'Hello, world!\n' });
        expect(hashOfLayers(place.lamina.root)).toBe(before);
      },
      10 * MINUTES,
    );

    test.each(SECONDS)('$script: $does', async (work) => place.does(work), 10 * MINUTES);

    // Root's is one of those that take longer.
    if (ALL || kind === RANGED) {
      test(
        'PostgreSQL serves on a unix socket under its own user, and its data outlive a stop of the container',
        async () => {
          await installs('postgres', 'postgresql-15', ['ssl-cert', 'postgresql-15', 'postgresql-common']);
          if (kind.isSingle) return;
          await place.does({ script: 'postgres', does: 'fill', prints: ROWS });
          expect(await place.lamina.call(['stop', '-t', '0', 'work'])).toMatchObject({ code: 0 });
          expect(await place.lamina.call(['start', 'work'])).toMatchObject({ code: 0 });
          await place.does({ script: 'postgres', does: 'look', prints: ROWS }, 'again');
        },
        10 * MINUTES,
      );
    }

    // With a single id most of what they need cannot be installed: its files are to belong to others.
    if (!ALL || kind.isSingle) return;

    test(
      'apt-get installs packages with triggers over the container’s own network',
      async () => {
        const options = ['-qq', '-y', '--no-install-recommends'];
        expect(await place.exec('apt-get', 'update', '-qq')).toMatchObject({ code: 0 });
        const install = ['env', 'DEBIAN_FRONTEND=noninteractive', 'apt-get', 'install', ...options, ...MORE];
        expect(await place.exec(...install)).toMatchObject({ code: 0 });
        expect(await place.exec('dpkg', '-V', 'git', 'gcc-12', 'vim', 'python3.11')).toMatchObject({ stdout: '' });
      },
      20 * MINUTES,
    );

    test.each(LONGER)('$script: $does', async (work) => place.does(work), 10 * MINUTES);

    test(
      'git clones 5,000 files, and all is whole also after another start of the container',
      async () => {
        await place.does({ script: 'clone', does: 'clone', prints: CLONES });
        expect(await place.lamina.call(['restart', '-t', '0', 'work'])).toMatchObject({ code: 0 });
        await place.does({ script: 'clone', does: 'look', prints: CLONES }, 'again');
      },
      20 * MINUTES,
    );

    test(
      'vim edits a file of the image on a terminal',
      async () => {
        const tmux = new Tmux(place.lamina.environment);
        try {
          const edit = ['exec', '-it', '-e', 'TERM=xterm', 'work', 'vim', '-u', 'NONE', '/etc/issue.net'];
          tmux.type(place.lamina.commandLine(edit).map(quoted).join(' '));
          await tmux.shows(/Debian GNU\/Linux 12\n~\n/);
          tmux.press('o');
          tmux.type('written in vim');
          tmux.press('Escape');
          tmux.type(':wq');
          await expect
            .poll(async () => (await place.exec('cat', '/etc/issue.net')).stdout, { timeout: MINUTES })
            .toMatch(/^Debian GNU\/Linux 12\nwritten in vim\n/);
        } finally {
          tmux.close();
        }
      },
      10 * MINUTES,
    );
  },
);
