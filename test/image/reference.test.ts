import { describe, expect, test } from 'vitest';

import { familiarName, fullName, parseReference } from '../../runner/image/reference.ts';

const DIGEST = `sha256:${'a'.repeat(64)}`;

describe('parseReference', () => {
  test.each([
    ['debian', 'docker.io/library/debian:latest'],
    ['debian:12', 'docker.io/library/debian:12'],
    ['user/app', 'docker.io/user/app:latest'],
    ['docker.io/debian', 'docker.io/library/debian:latest'],
    ['index.docker.io/debian', 'docker.io/library/debian:latest'],
    ['localhost/app', 'localhost/app:latest'],
    ['localhost:5000/a/b:t', 'localhost:5000/a/b:t'],
    ['ghcr.io/a__b/c-d.e:v1.2_3', 'ghcr.io/a__b/c-d.e:v1.2_3'],
    ['[::1]:5000/app', '[::1]:5000/app:latest'],
  ])('completes %s', (text, full) => expect(fullName(parseReference(text))).toBe(full));

  test('gives a reference by digest no tag', () => {
    expect(parseReference(`debian@${DIGEST}`)).toEqual({
      domain: 'docker.io',
      path: 'library/debian',
      tag: '',
      digest: DIGEST,
    });
  });

  test.each([
    ['', /it is empty/],
    ['Debian', /lower-case/],
    ['a//b', /lower-case/],
    ['../a', /lower-case|host name/],
    ['debian:', /a tag is/],
    [`debian:${'t'.repeat(129)}`, /a tag is/],
    ['debian:a b', /a tag is/],
    ['debian@sha256:12', /64 hexadecimal/],
    ['debian@md5:aaaa', /64 hexadecimal/],
    ['-bad.io/x', /host name/],
    ['a'.repeat(250), /longer than 255/],
  ])('rejects %j', (text, message) => expect(() => parseReference(text)).toThrow(message));
});

describe('familiarName', () => {
  test.each([
    ['docker.io/library/debian:12', 'debian:12'],
    ['docker.io/user/app:latest', 'user/app:latest'],
    ['ghcr.io/library/x:1', 'ghcr.io/library/x:1'],
    ['localhost:5000/x:1', 'localhost:5000/x:1'],
  ])('shortens %s', (full, familiar) => expect(familiarName(full)).toBe(familiar));
});
