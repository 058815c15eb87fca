import { describe, expect, test } from 'vitest';

import { changeConfig } from '../../runner/image/config-change.ts';

const BASE = { Env: ['PATH=/bin', 'HOME=/root'], Cmd: ['old'], Entrypoint: ['before'], WorkingDir: '/srv' };

const change = (...changes: readonly string[]): unknown => changeConfig(BASE, changes);

describe('changeConfig', () => {
  test.each([
    ['CMD ["a","b c"]', { Cmd: ['a', 'b c'] }],
    ['cmd echo "$HOME" | cat', { Cmd: ['/bin/sh', '-c', 'echo "$HOME" | cat'] }],
    ['CMD=["podman"]', { Cmd: ['podman'] }],
    ['CMD [not json', { Cmd: ['/bin/sh', '-c', '[not json'] }],
    ['ENV A=1', { Env: ['PATH=/bin', 'HOME=/root', 'A=1'] }],
    ['ENV A=1 B="two words" C=three\\ words', { Env: [...BASE.Env, 'A=1', 'B=two words', 'C=three words'] }],
    ['ENV HOME=/other', { Env: ['PATH=/bin', 'HOME=/other'] }],
    [
      "ENV PATH=$PATH:/opt D=${NONE:-default} E='$PATH' F=${HOME:+set}",
      { Env: ['PATH=/bin:/opt', 'HOME=/root', 'D=default', 'E=$PATH', 'F=set'] },
    ],
    ['ENV OLD form of it', { Env: [...BASE.Env, 'OLD=form of it'] }],
    ['USER 1000:1000', { User: '1000:1000' }],
    ['WORKDIR /a/../b', { WorkingDir: '/b' }],
    ['WORKDIR below', { WorkingDir: '/srv/below' }],
    ['LABEL a=b "c d"="e f"', { Labels: { a: 'b', 'c d': 'e f' } }],
    ['LABEL=a=b', { Labels: { a: 'b' } }],
    ['EXPOSE 80 53/udp 8000-8001', { ExposedPorts: { '80/tcp': {}, '53/udp': {}, '8000/tcp': {}, '8001/tcp': {} } }],
    ['VOLUME /a /b', { Volumes: { '/a': {}, '/b': {} } }],
    ['VOLUME ["/a b"]', { Volumes: { '/a b': {} } }],
    ['ONBUILD RUN make', { OnBuild: ['RUN make'] }],
    ['STOPSIGNAL SIGQUIT', { StopSignal: 'SIGQUIT' }],
    ['STOPSIGNAL 9', { StopSignal: '9' }],
    ['HEALTHCHECK NONE', { Healthcheck: { Test: ['NONE'] } }],
    [
      'HEALTHCHECK --interval=1m30s --retries=3 CMD curl -f http://localhost',
      { Healthcheck: { Test: ['CMD-SHELL', 'curl -f http://localhost'], Interval: 90e9, Retries: 3 } },
    ],
    ['HEALTHCHECK CMD ["a"]', { Healthcheck: { Test: ['CMD', 'a'] } }],
  ])('takes %s', (text, members) => {
    expect(change(text)).toEqual({ ...BASE, ...members });
  });

  test('takes the arguments of the entrypoint before away with it, unless they are given, too', () => {
    expect(change('ENTRYPOINT ["new"]')).toEqual({ ...BASE, Entrypoint: ['new'], Cmd: null });
    expect(change('CMD ["x"]', 'ENTRYPOINT ["new"]')).toEqual({ ...BASE, Entrypoint: ['new'], Cmd: ['x'] });
  });

  test('has each change see those before it', () => {
    expect(change('ENV A=1', 'ENV B=$A$A', 'WORKDIR x', 'WORKDIR y')).toEqual({
      ...BASE,
      Env: [...BASE.Env, 'A=1', 'B=11'],
      WorkingDir: '/srv/x/y',
    });
  });

  test.each([
    ['RUN make', /none of the instructions CMD, /],
    ['', /none of the instructions/],
    ['CMD', /has no argument/],
    ['ENV A', /is not NAME=VALUE/],
    ['ENV A=1 B', /"B" is not NAME=VALUE/],
    ['ENV A="1', /a quote in .* does not end/],
    ['EXPOSE 0', /is not PORT/],
    ['EXPOSE 80/icmp', /is not PORT/],
    ['EXPOSE 90-80', /is not PORT/],
    ['STOPSIGNAL SIGNOT', /is no signal/],
    ['ONBUILD FROM x', /ONBUILD FROM is not allowed/],
    ['HEALTHCHECK curl', /neither NONE nor CMD/],
    ['HEALTHCHECK --interval=fast CMD x', /is no duration/],
    ['HEALTHCHECK --often=1s CMD x', /no option --often/],
    ['USER a\0b', /NUL/],
  ])('refuses %j and says why', (text, message) => {
    expect(() => change(text)).toThrow(message);
    expect(() => change(text)).toThrow(`--change ${JSON.stringify(text)}`);
  });

  test('keeps members that it does not know, and takes no other for the prototype', () => {
    expect(changeConfig({ Own: 1 }, ['LABEL __proto__=x'])).toEqual({
      Own: 1,
      Labels: Object.fromEntries([['__proto__', 'x']]),
    });
    expect(Object.getPrototypeOf(changeConfig({}, ['USER a']))).toBe(Object.prototype);
  });
});
