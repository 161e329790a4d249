"""How the demo's report looks and the few lines of script that let a reader scroll through a fish."""

from __future__ import annotations

STYLE = """
:root { color-scheme: light dark; --line: #8884; --soft: #8881; --accent: #0072b2; }
* { box-sizing: border-box; }
body { font: 15px/1.55 system-ui, sans-serif; max-width: 62rem; margin: 2.5rem auto; padding: 0 1.2rem;
  overflow-wrap: anywhere; }
h1 { font-size: 1.9rem; line-height: 1.2; margin-bottom: .4rem; } h2 { margin-top: 3rem; font-size: 1.3rem; }
h2 small { font-weight: 400; opacity: .55; margin-right: .5rem; } h3 { font-size: 1rem; margin: 1.8rem 0 .4rem; }
.lead { font-size: 1.08rem; opacity: .85; margin-top: 0; max-width: 50rem; }
p, li { max-width: 50rem; }
nav { display: flex; flex-wrap: wrap; gap: .3rem .5rem; margin: 1.4rem 0; font-size: .85rem; }
nav a { text-decoration: none; color: inherit; background: var(--soft); border-radius: 1rem; padding: .15rem .75rem; }
nav a:hover, nav a:focus { background: var(--line); }
.figures { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.4rem 0; }
.figure { flex: 1 1 9rem; background: var(--soft); border-radius: .6rem; padding: .8rem 1rem; }
.figure b { display: block; font-size: 1.5rem; line-height: 1.3; } .figure span { opacity: .75; font-size: .85rem; }
.figure.main { border-left: 4px solid var(--accent); }
.row { display: flex; flex-wrap: wrap; gap: 1rem; align-items: flex-end; }
figure { margin: 0; width: 8.6rem; text-align: center; } figcaption { font-size: .8rem; opacity: .8; }
img { border-radius: .3rem; image-rendering: auto; max-width: 100%; background: #000; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
td, th { text-align: left; padding: .25rem 1.2rem .25rem 0; border-bottom: 1px solid var(--line); }
td.n, th.n { text-align: right; } code, pre { font-size: .85rem; }
pre { background: var(--soft); padding: .8rem; border-radius: .4rem; overflow-x: auto; }
svg { max-width: 100%; height: auto; }
figure.plain { width: auto; text-align: left; } figure.plain div { display: flex; gap: .25rem; }
figure.plain svg { border-radius: .3rem; background: #000; display: block; } figcaption { margin-top: .3rem; }
.steps { display: flex; flex-wrap: wrap; gap: 1rem 2rem; align-items: center; margin: 1.4rem 0 2.2rem; }
.steps .row { gap: .6rem; flex-wrap: nowrap; } .steps figure { min-width: 0; }
.steps ol { flex: 1 1 18rem; margin: 0; padding-left: 1.2rem; } .steps li { margin-bottom: .8rem; }
.fish { display: grid; grid-template-columns: repeat(auto-fill, minmax(17rem, 1fr)); gap: 1.6rem 1rem; }
.key { font-size: .85rem; opacity: .85; margin: 1.2rem 0; } .key i { display: inline-block; width: 1.6rem;
  border-top: 3px solid; vertical-align: middle; margin: 0 .4rem 0 .8rem; } .key i:first-child { margin-left: 0; }
.key i.dashed { border-top: 2px dashed; }
.chips { display: flex; flex-wrap: wrap; gap: .2rem 1rem; font-size: .85rem; margin: 1rem 0; }
.chips i, td i.chip { display: inline-block; width: .8rem; height: .8rem; border-radius: .2rem; margin-right: .4rem;
  vertical-align: -.08rem; }
.scroll { overflow-x: auto; } .scroll td, .scroll th { padding-right: .9rem; white-space: nowrap; }
.scroll table { width: 100%; }
.hero { display: flex; flex-wrap: wrap; gap: .6rem; background: #000; border-radius: .7rem; padding: .8rem;
  justify-content: center; margin: 1.4rem 0 .6rem; }
.hero figure { width: auto; color: #ddd; } .hero img { display: block; height: 24rem; border-radius: 0; }
.painted { display: grid; grid-template-columns: repeat(auto-fill, minmax(8.2rem, 1fr)); gap: .7rem; margin: .4rem 0 1.2rem; }
.painted figure { width: auto; } .painted img { width: 100%; display: block; }
.walk { margin: 1rem 0 2rem; --at: 50%; } .walk .panes { display: grid; gap: .6rem;
  grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); } .walk figure { width: auto; }
.pane { width: 100%; background-color: #000; background-repeat: no-repeat; background-position: 0 var(--at);
  border-radius: .3rem; }
.walk label { display: flex; gap: 1rem; align-items: center; font-size: .9rem; margin-top: .6rem; }
.walk input { flex: 1; min-width: 6rem; accent-color: var(--accent); } .walk output { min-width: 6.5rem; text-align: right; }
td.heat { text-align: right; background: color-mix(in srgb, var(--accent) calc(var(--share) * 55%), transparent); }
td.wrong { text-align: right; background: color-mix(in srgb, #d55e00 calc(var(--share) * 300%), transparent); }
@media (max-width: 40rem) { body { margin-top: 1.2rem; } .hero img { height: 17rem; } h1 { font-size: 1.5rem; }
  .steps .row { flex-wrap: wrap; } }
@media print { .walk input, nav { display: none; } }
"""

SCRIPT = """
for (const walk of document.querySelectorAll('.walk')) {
  const input = walk.querySelector('input'), said = walk.querySelector('output');
  const show = () => {
    walk.style.setProperty('--at', 100 * input.value / input.max + '%');
    said.textContent = 'slice ' + input.value * walk.dataset.every;
  };
  input.addEventListener('input', show);
  show();
}
"""
