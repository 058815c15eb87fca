import { expect, test } from 'vitest';
import { escapeText, html } from '../../bench/html/markup.ts';
import { htmlReport } from '../../bench/html/report.ts';
import { bounds, LogScale, ticks } from '../../bench/html/scale.ts';
import { type WorkloadResult } from '../../bench/benchmark.ts';
import { reportOf, resultOf } from './reports.ts';

test('html escapes what it is given, and not what it made', () => {
  const bold = html`<b>${'<"&\''}</b>`;
  expect(html`<p title="${'a"b'}">${bold}${[bold, bold]}${1.5}</p>`.text).toBe(
    `<p title="a&quot;b">${'<b>&lt;&quot;&amp;&#39;</b>'.repeat(3)}1.5</p>`,
  );
});

test('escapeText leaves no control character', () => {
  expect(escapeText('a\0b\x1b[31m\nc')).toBe('a b [31m\nc');
});

test('LogScale has equal distances for equal ratios, and ends at its ends', () => {
  const scale = new LogScale(0.1, 10, 200);
  expect([0.1, 1, 10, 0, 1000].map((value) => scale.at(value))).toEqual([0, 100, 200, 0, 200]);
});

test('ticks are 1, 2 and 5 of each decade in the range', () => {
  expect(ticks(0.2, 10)).toEqual([0.2, 0.5, 1, 2, 5, 10]);
});

test('bounds are ticks around all values, also where there is one or none', () => {
  expect(bounds([0.3, 7])).toEqual([0.2, 10]);
  const [least, greatest] = bounds([1]);
  expect(least).toBeLessThan(greatest);
  expect(bounds([])).toEqual([0.1, 10]);
});

function scaling(x: number): WorkloadResult {
  const result = resultOf(`misses-${x}`, { lamina: [0.001 * x], overlayfs: [0.002], 'fuse-overlayfs': [0.1 * x] });
  return { ...result, point: { series: 'misses', axis: 'layers', x } };
}

const HOSTILE = '<script>alert("x")</script>';

test('htmlReport has bars, curves, tables and what failed in one page that asks for nothing else', () => {
  const counts = { lamina: { operations: 2, requests: { LOOKUP: 4 }, systemCalls: { read: 6 } } };
  const failed = { ...resultOf('broken', {}), failures: { lamina: HOSTILE } };
  const page = htmlReport(reportOf([scaling(1), { ...scaling(100), counts }, failed], 1));
  expect(page).toContain('aria-label="ratios of lamina/overlayfs"');
  expect(page.match(/<polyline/g)).toHaveLength(3);
  expect(page).toContain('4 LOOKUP');
  expect(page).toContain('prefers-color-scheme: dark');
  expect(page).not.toContain('<script');
  expect(page).toContain('&lt;script&gt;alert(&quot;x&quot;)');
  expect(page).not.toMatch(/(src|href)=|url\(|https?:|@import|NaN|undefined/);
});

test('htmlReport closes every element that it opens', () => {
  const page = htmlReport(reportOf([scaling(1), scaling(5)], 1));
  const open: string[] = [];
  for (const [, end, name = '', self] of page.matchAll(/<(\/?)([a-z][a-z0-9]*)[^>]*?(\/?)>/g)) {
    if (self === '/' || name === 'meta') continue;
    if (end === '/') expect(open.pop()).toBe(name);
    else open.push(name);
  }
  expect(open).toEqual([]);
});
