import { spawnSync } from 'node:child_process';
import { mkdirSync, rmdirSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { restrictDevices } from '../../runner/container/cgroup/device-rules.ts';
import { findHierarchies, ownView } from '../../runner/container/cgroup/hierarchies.ts';
import { parseDeviceRule } from '../../runner/container/options/device-rule.ts';
import { firstMissing, hasFuseDevice, isRoot, titled } from '../support/requirements.ts';

const hierarchies = findHierarchies(ownView());

describe.each([1, 2] as const)('restrictDevices of cgroup version %d', (version) => {
  const controllers = version === 1 ? ['devices'] : [];
  const hierarchy = hierarchies.find(
    (one) => one.version === version && controllers.every((name) => one.controllers.includes(name)),
  );
  const missing = firstMissing(
    isRoot(),
    hasFuseDevice(),
    hierarchy === undefined ? 'needs such a hierarchy, of version 1 with devices' : undefined,
  );

  const cases: readonly (readonly [rules: readonly string[], allowed: readonly string[]])[] = [
    [[], ['read null', 'write null', 'read urandom', 'read ptmx']],
    [['c 10:229 r'], ['read null', 'write null', 'read urandom', 'read ptmx', 'read fuse']],
    [['c 10:* rw'], ['read null', 'write null', 'read urandom', 'read ptmx', 'read fuse', 'write fuse']],
    [
      ['b 10:229 rwm', 'c 10:230 rwm'],
      ['read null', 'write null', 'read urandom', 'read ptmx'],
    ],
  ];

  test.skipIf(missing).each(cases)(titled('with %j allows %j alone', missing), (rules, allowed) => {
    const path = join(hierarchy?.own ?? '', `lamina-devices-${process.pid}`);
    mkdirSync(path);
    try {
      const record = { directories: [{ version, controllers, path, hierarchy: '' }] };
      restrictDevices(record, rules.map(parseDeviceRule), []);
      const tries = ['read null', 'write null', 'read urandom', 'read ptmx', 'read fuse', 'write fuse'];
      const script = tries.map((one) => {
        const [what, name] = one.split(' ');
        return `(: ${what === 'read' ? '<' : '>'}/dev/${name}) 2>/dev/null && echo ${one}`;
      });
      const done = spawnSync('sh', ['-c', [`echo $$ >${path}/cgroup.procs`, ...script].join('\n')], {
        encoding: 'utf8',
      });
      expect(done.stdout.trim().split('\n')).toEqual(allowed);
    } finally {
      rmdirSync(path);
    }
  });

  test('a rule that is none is refused', () => {
    expect(() => parseDeviceRule('c 10 rwm')).toThrow('is not TYPE MAJOR:MINOR ACCESS');
    expect(() => restrictDevices({ directories: [] }, [parseDeviceRule('c 10:* rwm')], [])).toThrow(
      'cannot be allowed',
    );
  });
});
