import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseChallenges } from '../../runner/image/registry/challenge.ts';
import { FILES, findCredentials, keysOf } from '../../runner/image/registry/credentials.ts';
import {
  forgetCredentials,
  keepCredentials,
  removeCredentials,
  saveCredentials,
} from '../../runner/image/registry/login.ts';

describe('parseChallenges', () => {
  test('takes several, with quoted and bare values', () => {
    expect(
      parseChallenges('Bearer realm="https://a/t?x=1,2",service=reg, scope="a:b:pull,push", Basic realm="q\\"q"'),
    ).toEqual([
      { scheme: 'bearer', parameters: { realm: 'https://a/t?x=1,2', service: 'reg', scope: 'a:b:pull,push' } },
      { scheme: 'basic', parameters: { realm: 'q"q' } },
    ]);
  });

  test('makes nothing of what is none', () => {
    expect(parseChallenges('')).toEqual([]);
    expect(parseChallenges('="x"')).toEqual([]);
    expect(parseChallenges('Negotiate')).toEqual([{ scheme: 'negotiate', parameters: {} }]);
  });
});

describe('credentials', () => {
  function inDirectory(use: (path: (name: string) => string) => Promise<void>): Promise<void> {
    const directory = mkdtempSync(join(tmpdir(), 'lamina-auth-'));
    return use((name) => join(directory, name)).finally(() => rmSync(directory, { recursive: true }));
  }

  test('saveCredentials and removeCredentials leave all else in the file, which is for its owner alone', () =>
    inDirectory(async (path) => {
      writeFileSync(path('auth.json'), JSON.stringify({ auths: { 'quay.io': { auth: 'YTpi' } }, other: 1 }));
      await saveCredentials(path('auth.json'), 'localhost:5000', { username: 'me', password: 'a:b' });
      expect(await findCredentials('localhost:5000', 'x/y', { files: [path('auth.json')] })).toEqual({
        username: 'me',
        password: 'a:b',
      });
      expect(await removeCredentials(path('auth.json'), 'localhost:5000')).toBe(true);
      expect(await removeCredentials(path('auth.json'), 'localhost:5000')).toBe(false);
      expect(JSON.parse(readFileSync(path('auth.json'), 'utf8'))).toEqual({
        auths: { 'quay.io': { auth: 'YTpi' } },
        other: 1,
      });
    }));

  test('findCredentials prefers what is for a part of a registry, and reads docker’s names for its hub', () =>
    inDirectory(async (path) => {
      const auth = (text: string): object => ({ auth: Buffer.from(text).toString('base64') });
      const auths = {
        'quay.io': auth('all:1'),
        'quay.io/team': auth('team:2'),
        'https://index.docker.io/v1/': auth('hub:3'),
        'ghcr.io': { identitytoken: 'token' },
        'empty.io': {},
      };
      writeFileSync(path('config.json'), JSON.stringify({ auths }));
      const find = (domain: string, repository: string) =>
        findCredentials(domain, repository, { files: [path('none'), path('config.json')] });
      expect(await find('quay.io', 'team/app')).toEqual({ username: 'team', password: '2' });
      expect(await find('quay.io', 'other/app')).toEqual({ username: 'all', password: '1' });
      expect(await find('docker.io', 'library/debian')).toEqual({ username: 'hub', password: '3' });
      expect(await find('ghcr.io', 'a/b')).toEqual({ identityToken: 'token' });
      expect(await find('empty.io', 'a/b')).toBeUndefined();
      expect(await find('unknown.io', 'a/b')).toBeUndefined();
    }));

  test('findCredentials asks the helper that the file names, and refuses a name that is a path', () =>
    inDirectory(async (path) => {
      const script = `#!/bin/sh\nread -r server\n[ "$server" = helped.io ] || { echo "credentials not found in native keychain"; exit 1; }\necho '{"Username":"me","Secret":"helped"}'\n`;
      writeFileSync(path('docker-credential-test'), script, { mode: 0o755 });
      const { PATH: before } = process.env;
      process.env['PATH'] = `${path('')}:${before ?? ''}`;
      try {
        writeFileSync(path('config.json'), JSON.stringify({ credsStore: 'test' }));
        expect(await findCredentials('helped.io', 'x', { files: [path('config.json')] })).toEqual({
          username: 'me',
          password: 'helped',
        });
        expect(await findCredentials('other.io', 'x', { files: [path('config.json')] })).toBeUndefined();
        writeFileSync(path('config.json'), JSON.stringify({ credHelpers: { 'evil.io': '../../x' } }));
        await expect(findCredentials('evil.io', 'x', { files: [path('config.json')] })).rejects.toThrow(
          /no name of a credential helper/,
        );
      } finally {
        process.env['PATH'] = before;
      }
      expect(existsSync(path('config.json'))).toBe(true);
    }));

  test('helpers of registries.conf are asked and told in their order, the files among them', () =>
    inDirectory(async (path) => {
      // Keeps one secret in a file, as a keyring would.
      const script = `#!/bin/sh
        case $1 in
        store) cat >"$0.kept" ;;
        get) [ -e "$0.kept" ] && cat "$0.kept" || { echo credentials not found in native keychain; exit 1; } ;;
        erase) rm "$0.kept" ;;
        esac\n`;
      writeFileSync(path('docker-credential-keyring'), script, { mode: 0o755 });
      const { PATH: before } = process.env;
      process.env['PATH'] = `${path('')}:${before ?? ''}`;
      const [file, helpers] = [path('auth.json'), ['not-there', 'keyring', FILES]];
      const find = () => findCredentials('a.io', 'x', { files: [file], helpers });
      try {
        const kept = await keepCredentials(file, helpers, 'a.io', { username: 'me', password: 'word' });
        expect(kept).toBe('docker-credential-keyring');
        expect(existsSync(file)).toBe(false);
        expect(await find()).toEqual({ username: 'me', password: 'word' });
        await saveCredentials(file, 'a.io', { username: 'other', password: 'x' });
        expect(await find()).toEqual({ username: 'me', password: 'word' });
        expect(await forgetCredentials(file, helpers.slice(1), 'a.io')).toBe(true);
        await expect(find()).rejects.toThrow(/docker-credential-not-there/);
        expect(await findCredentials('a.io', 'x', { files: [file], helpers: helpers.slice(1) })).toBeUndefined();
      } finally {
        process.env['PATH'] = before;
      }
    }));

  test('keysOf names the most special first', () => {
    expect(keysOf('quay.io', 'a/b').slice(0, 3)).toEqual(['quay.io/a/b', 'quay.io/a', 'quay.io']);
  });
});
