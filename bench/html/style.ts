/** The page's style sheet: colours by variables, so that light and dark differ in these alone. */
export const STYLE = `
:root { color-scheme: light dark; --ink: #1d2127; --paper: #fff; --soft: #697180; --line: #dde1e7; --faster: #2f855a;
  --slower: #c05621; --c0: #2b6cb0; --c1: #c05621; --c2: #2f855a; --c3: #805ad5; --c4: #b7791f; --c5: #c53030; --c6: #2c7a7b; --c7: #97266d }
@media (prefers-color-scheme: dark) { :root { --ink: #e4e7ec; --paper: #15181d; --soft: #98a1b0; --line: #333943;
  --faster: #48bb78; --slower: #ed8936; --c0: #63b3ed; --c1: #ed8936; --c2: #68d391; --c3: #b794f4; --c4: #ecc94b;
  --c5: #fc8181; --c6: #4fd1c5; --c7: #f687b3 } }
body { background: var(--paper); color: var(--ink); font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 68rem; padding: 0 1rem }
h1 { font-size: 1.6rem } h2 { font-size: 1.15rem; margin-top: 2.2rem }
p.note, figcaption, li { color: var(--soft) } svg { display: block; height: auto; max-width: 100%; width: 58rem }
figure { display: inline-block; margin: 0 1rem 1rem 0; width: 32rem; max-width: 100% }
svg text { fill: var(--ink); font-size: 12px } svg .label { text-anchor: end } svg .tick { fill: var(--soft); text-anchor: middle }
svg .number { fill: var(--soft) } .grid { stroke: var(--line) } .one { stroke: var(--ink) } .spread { fill: none; stroke: var(--ink) }
.faster { fill: var(--faster) } .slower { fill: var(--slower) } .curve polyline { fill: none; stroke: currentColor; stroke-width: 2 }
.curve circle, .key circle { fill: currentColor }
${Array.from({ length: 8 }, (_, index) => `.c${index} { color: var(--c${index}) }`).join(' ')}
.scroll { overflow-x: auto } table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums }
th, td { border-bottom: 1px solid var(--line); padding: .25rem .6rem; text-align: right; vertical-align: top }
th, td { white-space: nowrap } th:first-child, thead th:nth-child(2), td:nth-child(2), td.text { text-align: left } td.text { min-width: 18rem; white-space: normal } thead th { color: var(--soft); font-weight: 600 }
`;
