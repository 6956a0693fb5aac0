#pragma once
#include <string_view>

namespace llama::page {

/// The page's style sheet. `before` is drawn light and thin, `after` dark and bold, so that the two also differ in
/// grey; the pair stays apart for the colour-blind (orange and blue).
inline constexpr std::string_view style = R"css(
:root {
  color-scheme: light dark;
  --paper: #fff; --ink: #1a1f26; --muted: #59626d; --rule: #dfe3e8; --faint: #9aa5b1;
  --before: #e08e0b; --before-text: #985a00; --after: #0a4f94; --middle: #6d7680; --fill: #e08e0b33;
}
@media (prefers-color-scheme: dark) {
  :root {
    --paper: #13161b; --ink: #e4e8ed; --muted: #9ba6b2; --rule: #2c333c; --faint: #5d6874;
    --before: #f0a93b; --before-text: #f0b45a; --after: #79bdff; --middle: #a5aeb8; --fill: #f0a93b2e;
  }
}
@media print {
  :root {
    --paper: #fff; --ink: #000; --muted: #444; --rule: #ddd; --faint: #999;
    --before: #e08e0b; --before-text: #985a00; --after: #0a4f94; --middle: #6d7680; --fill: #e08e0b33;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 2rem 1rem 4rem; max-width: 72rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif;
  font-variant-numeric: tabular-nums; overflow-wrap: break-word;
}
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0 0 .5rem; font-weight: 650; }
h2 { font-size: 1.2rem; margin: 3rem 0 .4rem; padding-top: .8rem; border-top: 1px solid var(--rule); font-weight: 650; }
p { margin: .4rem 0 .8rem; max-width: 46rem; }
.kind, .note, .means, footer { color: var(--muted); font-size: .875rem; }
.kind { margin: 0 0 .3rem; }
a { color: var(--after); }
nav a { margin-right: 1rem; white-space: nowrap; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 1rem 1.5rem; margin: 1.5rem 0;
  padding: 1rem 0; border: solid var(--rule); border-width: 1px 0; }
.tiles div { display: flex; flex-direction: column-reverse; justify-content: flex-end; }
.tiles dt { color: var(--muted); font-size: .8rem; line-height: 1.3; }
.tiles dd { margin: 0; font-size: 1.4rem; font-weight: 600; line-height: 1.3; }
.tiles dd small { font-size: .9rem; font-weight: 400; color: var(--muted); }
.words { display: grid; grid-template-columns: repeat(auto-fill, minmax(15rem, 1fr)); gap: .5rem 1.5rem; margin: 1rem 0;
  font-size: .875rem; }
.words dt { color: var(--muted); }
.words dd { margin: 0; }
@media (max-width: 34rem) {
  .words { grid-template-columns: 1fr; gap: .15rem; }
  .words div { display: grid; grid-template-columns: 9.5rem 1fr; }
}
figure { margin: 1.2rem 0; break-inside: avoid-page; }
figcaption { font-size: .875rem; color: var(--muted); margin: .3rem 0; max-width: 46rem; }
figcaption strong { color: var(--ink); font-weight: 600; }
.group { break-inside: auto; }
.panels { display: grid; grid-template-columns: repeat(auto-fill, minmax(138px, 1fr)); gap: 6px 10px; }
.charts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 330px), 1fr)); gap: .5rem 1.5rem; }
.channels { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 260px), 1fr)); gap: 8px 16px;
  margin: .8rem 0; }
.charts figure { margin: .6rem 0; }
svg { display: block; width: 100%; height: auto; overflow: visible; break-inside: avoid; }
svg text { font-size: 11px; fill: var(--ink); }
svg .tick { fill: var(--muted); font-size: 10.5px; }
.panels svg .tick, .channels svg .tick { font-size: 10px; }
svg .end { text-anchor: end; }
svg .middle.tick { text-anchor: middle; }
svg .label { font-weight: 600; }
svg text.before, svg tspan.before { fill: var(--before-text); }
svg text.after, svg tspan.after { fill: var(--after); }
svg text.label.middle { fill: var(--middle); }
svg tspan.tick { font-weight: 400; }
.grid { stroke: var(--rule); stroke-width: 1; fill: none; }
.grid.one { stroke: var(--faint); stroke-dasharray: 2 2; }
.line { fill: none; stroke-linejoin: round; stroke-width: 1.2; }
.line.before { stroke: var(--before); }
.line.after { stroke: var(--after); stroke-width: 1.9; }
.line.middle { stroke: var(--middle); stroke-dasharray: 4 3; }
.line.faint { stroke: var(--faint); stroke-width: .7; opacity: .55; }
.fill.before { fill: var(--fill); }
.bars.before { fill: var(--before); }
.bars.after { fill: var(--after); }
.dot { stroke-width: 1.3; }
.dot.before { fill: var(--paper); stroke: var(--before); }
.dot.middle { fill: var(--middle); stroke: none; }
.dot.after { fill: var(--after); stroke: none; }
.stem { stroke: var(--faint); stroke-width: 1; }
details { border-top: 1px solid var(--rule); padding: .35rem 0; }
.means { display: block; }
.note { margin-left: .6rem; }
summary { cursor: pointer; font-size: .9rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .8rem; white-space: nowrap; }
th, td { padding: .15rem .5rem; text-align: right; vertical-align: top; }
th { font-weight: 500; color: var(--muted); }
thead th { border-bottom: 1px solid var(--faint); }
thead tr:first-child th { border-bottom: 0; text-align: center; }
tbody { border-bottom: 1px solid var(--rule); }
tbody th { text-align: left; color: var(--ink); background: var(--paper); }
.blocks tbody th[scope=rowgroup] { position: sticky; left: 0; min-width: 2.6rem; }
.blocks tbody th.site { position: sticky; left: 2.6rem; min-width: 3.4rem; }
.blocks thead tr:last-child th:nth-child(-n + 2) { text-align: left; }
.small th:first-child { text-align: left; }
@media print {
  body { max-width: none; padding: 0; font-size: 10pt; }
  nav, details:not([open]) { display: none; }
  .panels { grid-template-columns: repeat(6, 1fr); }
  .charts { grid-template-columns: 1fr 1fr; }
  .scroll { overflow: visible; }
  table { font-size: 6.4pt; }
  th, td { padding: .05rem .22rem; }
  tbody { break-inside: avoid; }
  h2 { break-after: avoid; }
}
)css";

}  // namespace llama::page
