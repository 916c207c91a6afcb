"""The style sheet of a run's page: system fonts alone, light, dark and on paper."""

STYLE = """
:root { --ink: #1d1d1f; --soft: #6e6e73; --line: #e3e3e6; --paper: #fff; --mend: #2f6fde; --look: #b9c7e0;
  --bytes: #f2a33a; --good: #1f8a4c; --warn: #b06f00; --bad: #c5303a; --other: #9a9aa3; }
@media (prefers-color-scheme: dark) { :root { --ink: #ececee; --soft: #a0a0a8; --line: #34343a; --paper: #18181b;
  --mend: #5b93f5; --look: #45536e; --bytes: #f2b25c; --good: #4cc27f; --warn: #e0a33e; --bad: #f0656d;
  --other: #6b6b75; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 15px/1.5 -apple-system, "Segoe UI", "Helvetica Neue", "DejaVu Sans", sans-serif; }
main { max-width: 1000px; margin: 0 auto; padding: 44px 28px 28px; }
header { display: flex; gap: 36px; align-items: flex-start; flex-wrap: wrap; }
header > div { flex: 1 1 380px; min-width: 0; }
figure { margin: 0; flex: 0 1 400px; }
img { display: block; width: 100%; border-radius: 10px; }
figcaption { color: var(--soft); font-size: 13px; margin-top: 8px; }
h1 { font-size: 31px; line-height: 1.2; letter-spacing: -0.02em; margin: 0 0 6px; }
h2 { font-size: 19px; letter-spacing: -0.01em; margin: 0 0 12px; }
h3 { font-size: 14px; color: var(--soft); font-weight: 500; margin: 20px 0 8px; }
p { margin: 0 0 12px; }
.outcome { font-size: 17px; font-weight: 500; }
.outcome.good { color: var(--good); }
.outcome.bad { color: var(--bad); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 5px 18px; margin: 20px 0 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
section { margin-top: 44px; }
a { color: var(--mend); text-decoration: none; }
code { font: 12px/1.5 ui-monospace, "SF Mono", Menlo, "DejaVu Sans Mono", monospace; color: var(--soft);
  overflow-wrap: anywhere; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: 8px 16px 8px 0; border-top: 1px solid var(--line);
  font-weight: 400; overflow-wrap: anywhere; }
th { font-weight: 600; }
.parts th { width: 22%; } .parts td:nth-child(2) { width: 24%; }
.moved { margin-top: 18px; font-variant-numeric: tabular-nums; }
.moved td { white-space: nowrap; } .moved thead * { color: var(--soft); font-weight: 400; border-top: 0; }
.seen td:first-child { width: 22px; font-weight: 700; } .seen th { width: 136px; } .seen td:last-child { width: 150px; }
.seen .ok td:first-child { color: var(--good); } .seen .warn td:first-child { color: var(--warn); }
.seen .fixable td:first-child { color: var(--mend); } .seen .blocked td:first-child { color: var(--bad); }
ul { list-style: none; margin: 0; padding: 0;
  columns: 4 190px; column-gap: 24px; font-size: 12.5px; color: var(--soft); }
li { break-inside: avoid; } li b { font-weight: 500; color: var(--ink); }
svg { display: block; width: 100%; height: auto; } svg + p { margin-top: 12px; }
svg text { font: 13px -apple-system, "Segoe UI", "Helvetica Neue", "DejaVu Sans", sans-serif; fill: var(--ink); }
svg .name { text-anchor: end; } svg .took { fill: var(--soft); font-size: 12px; }
svg .tick { fill: var(--soft); font-size: 12px; text-anchor: middle; }
svg .grid { stroke: var(--line); stroke-width: 1; }
svg .look { fill: var(--look); } svg .mend { fill: var(--mend); }
svg .bytes { fill: var(--bytes); opacity: 0.9; } svg .other { fill: var(--other); }
.key { color: var(--soft); font-size: 13px; margin: 6px 0 0; }
.key i { display: inline-block; width: 22px; height: 12px; border-radius: 2px; margin: 0 5px -1px 14px; }
.key i:first-child { margin-left: 0; } .key i.look { height: 4px; margin-bottom: 3px; background: var(--look); }
.key i.mend { background: var(--mend); } .key i.bytes { background: var(--bytes); }
footer { margin-top: 48px; padding-top: 14px; border-top: 1px solid var(--line); color: var(--soft); font-size: 13px; }
@media (max-width: 560px) { main { padding: 24px 16px; } .seen td:last-child { display: none; } }
@media print {
  :root { --ink: #000; --soft: #555; --line: #ccc; --paper: #fff; --mend: #2f6fde; --look: #b9c7e0; --bytes: #f2a33a;
    --good: #14683a; --warn: #8a5700; --bad: #a31621; --other: #9a9aa3; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  @page { margin: 15mm; }
  body { font-size: 10.5pt; } main { max-width: none; padding: 0; } figure { flex-basis: 7.2cm; }
  section { margin-top: 22px; } h2 { break-after: avoid; } tr, svg, figure { break-inside: avoid; }
  a { color: inherit; }
}
"""
