// The style sheet of the lab; it lives in a shadow root, so that neither page nor notebook can disturb it.

export const STYLE = `
:host { display: block; container-type: inline-size; -webkit-print-color-adjust: exact; print-color-adjust: exact; color: var(--ink); margin: 1.25rem 0; text-align: left; }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
.lab { font: 400 14.5px/1.45 var(--font); color: var(--ink); border-block: 1px solid var(--hairline);
  padding: 14px 0 10px; -webkit-text-size-adjust: 100%; }
.lab.boxed { border: 1px solid var(--hairline); border-radius: 10px; padding: 14px; background: var(--ground); }
header { display: flex; align-items: baseline; justify-content: space-between; gap: 12px; margin: 0 0 8px; }
.title { font: 650 17px/1.25 var(--font); margin: 0; letter-spacing: -0.01em; color: var(--ink); }
.formula { color: var(--muted); font-size: 13px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
.stage { display: grid; gap: 12px 18px; grid-template-columns: minmax(0, 1fr); }
.column { display: grid; gap: 12px; align-content: start; min-width: 0; }
.pair > .column { align-content: end; } /* two maps side by side stand level, whatever is over them */
figure { margin: 0; min-width: 0; }
figure > .head { display: flex; flex-wrap: wrap; justify-content: space-between; gap: 0 8px; font-size: 13px; color: var(--muted);
  margin-bottom: 4px; min-height: 20px; align-items: baseline; }
[data-view=rates] > .head { min-height: 40px; align-content: flex-start; } /* its second line comes and goes while it plays */
.head b { font-weight: 600; color: var(--ink); white-space: nowrap; }
.absent { margin: 0; padding: 9px 12px; border: 1px dashed var(--rail); border-radius: 6px; color: var(--muted); font-size: 13.5px; }
.plot { position: relative; width: 100%; }
.plot canvas { display: block; width: 100%; height: 100%; border-radius: 6px; }
.plot.square { aspect-ratio: 1; }
.plot.wide { aspect-ratio: 1.68; }
.plot.modes { aspect-ratio: 3.6; }
.plot.surface { aspect-ratio: 1.42; }
.plot.map { aspect-ratio: 2.6; }
.plot.modes.three { aspect-ratio: 2; }
.plot.planes { aspect-ratio: 2.9; }
.further { display: grid; gap: 14px; }
.further > figure:not([hidden]) { padding: 6px 0 10px; }
.grip { position: absolute; inset: 0; width: 100%; height: 100%; border: 0; padding: 0; background: none; border-radius: 6px;
  cursor: grab; touch-action: pan-y; }
.grip:active { cursor: grabbing; }
.spatial p { color: var(--muted); font-size: 13px; margin: 2px 0 0; }
.plot canvas.tap { cursor: crosshair; touch-action: pan-y; }
.plot canvas.scrub { cursor: ew-resize; touch-action: pan-y; }
.handle { position: absolute; width: 48px; height: 48px; margin: -24px 0 0 -24px; border: 0; padding: 0; background: none;
  border-radius: 50%; cursor: grab; touch-action: none; z-index: 2; }
.handle::after { content: ""; position: absolute; inset: 14px; border-radius: 50%; border: 2.5px solid var(--ink);
  background: color-mix(in srgb, var(--ground) 75%, transparent); box-shadow: 0 1px 4px rgba(0,0,0,.25);
  transition: inset .12s; }
.handle:hover::after, .handle:active::after { inset: 11px; }
.handle:active { cursor: grabbing; }
.bead { position: absolute; width: 44px; height: 44px; border: 0; border-radius: 50%; padding: 0; background: none; cursor: ns-resize; touch-action: none; }
.bead i { position: absolute; inset: 16px; border-radius: 50%; border: 2px solid var(--ink); background: var(--ground); }
.back { border: 0; background: none; padding: 0; min-height: 44px; cursor: pointer; color: var(--ink); font-size: 13.5px;
  text-decoration: underline; text-decoration-color: var(--faint); text-underline-offset: 3px; }
.back[hidden] { display: none; }
.key { display: flex; flex-wrap: wrap; gap: 0 14px; margin: 0 0 4px; font-size: 12.5px; color: var(--muted); }
.key i { display: inline-block; width: 14px; height: 3px; border-radius: 2px; margin-right: 6px; vertical-align: 3px; background: var(--tint); }
.bead:hover i, .bead:active i { inset: 15px; }
.beads .bead:focus-visible { outline: none; }
.bead:focus-visible i { inset: 14px; outline: 3px solid var(--focus); outline-offset: 1px; }
.handle i { position: absolute; left: 50%; top: 100%; transform: translate(-50%, -10px); font: 600 12px/1 var(--font);
  color: var(--ink); text-shadow: 0 0 3px var(--ground), 0 0 3px var(--ground), 0 0 5px var(--ground); pointer-events: none; }
.handle.low i { top: 0; transform: translate(-50%, -3px); }
:is(button, input, select, .handle, .dial, .table, a):focus-visible { outline: 3px solid var(--focus);
  outline-offset: 2px; }
:is(button, input, select):focus:not(:focus-visible) { outline: none; }
button { font: inherit; color: inherit; }
.transport { display: flex; align-items: center; gap: 6px; margin: 12px 0 4px; }
.transport button { flex: none; width: 44px; height: 44px; border-radius: 50%; border: 1px solid transparent;
  background: transparent; cursor: pointer; display: grid; place-items: center; padding: 0; }
.transport button:hover { background: color-mix(in srgb, var(--ink) 9%, transparent); }
.transport button.play { background: var(--ink); color: var(--ground); }
.transport button.play:hover { background: color-mix(in srgb, var(--ink) 82%, var(--ground)); }
.transport svg { width: 18px; height: 18px; fill: currentColor; display: block; }
.transport .time { flex: 1; min-width: 60px; }
.transport output { min-width: 7.4em; text-align: right; color: var(--muted); font-variant-numeric: tabular-nums;
  font-size: 13.5px; white-space: nowrap; }
.track { position: relative; display: block; height: 44px; }
input[type=range] { -webkit-appearance: none; appearance: none; width: 100%; height: 44px; margin: 0; background: none;
  cursor: pointer; display: block; position: relative; touch-action: pan-y; }
input[type=range]::-webkit-slider-runnable-track { height: 4px; border-radius: 2px;
  background: linear-gradient(to right, var(--tint, var(--ink)) var(--fill, 0%), var(--rail) var(--fill, 0%)); }
input[type=range]::-moz-range-track { height: 4px; border-radius: 2px;
  background: linear-gradient(to right, var(--tint, var(--ink)) var(--fill, 0%), var(--rail) var(--fill, 0%)); }
input[type=range]::-webkit-slider-thumb { -webkit-appearance: none; width: 18px; height: 18px; margin-top: -7px;
  border-radius: 50%; background: var(--tint, var(--ink)); border: 2.5px solid var(--ground); box-shadow: 0 0 0 1px var(--tint, var(--ink)); }
input[type=range]::-moz-range-thumb { width: 13px; height: 13px; border-radius: 50%; background: var(--tint, var(--ink));
  border: 2.5px solid var(--ground); box-shadow: 0 0 0 1px var(--tint, var(--ink)); }
.best { position: absolute; top: 25px; width: 28px; height: 24px; margin-left: -14px; border: 0; background: none; padding: 0;
  cursor: pointer; z-index: 1; touch-action: manipulation; }
.best::after { content: ""; position: absolute; left: 50%; top: 3px; margin-left: -6px; border: 6px solid transparent;
  border-top: 0; border-bottom: 9px solid var(--tint, var(--ink)); }
.best:hover::after { transform: scale(1.25); }
.rows { display: grid; margin-top: 4px; }
.row { display: grid; grid-template-columns: minmax(208px, 1.3fr) minmax(130px, 1.5fr) 62px minmax(140px, 1.1fr);
  align-items: center; gap: 0 12px; border-top: 1px solid var(--hairline); min-height: 46px; }
.row .name { display: flex; align-items: center; gap: 8px; font-weight: 600; min-width: 0; }
.row .name i { flex: none; width: 20px; height: 4px; border-radius: 2px; background: var(--tint); }
.row .name button { flex: none; margin: 0 -10px 0 auto; border: 0; background: none; width: 44px; height: 44px; color: var(--muted);
  cursor: pointer; font-size: 17px; line-height: 1; padding: 0; }
.row .name button:hover { color: var(--ink); }
.row output { font-variant-numeric: tabular-nums; white-space: nowrap; }
.row .result { color: var(--muted); font-size: 13.5px; line-height: 1.3; white-space: normal; }
.row .result.diverged, .row .result.climbing { color: var(--bad); font-weight: 600; }
.row .result.escaped, .row .result.converged { color: var(--good); font-weight: 600; }
.add { display: flex; flex-wrap: wrap; gap: 6px; align-items: center; border-top: 1px solid var(--hairline); padding: 7px 0 3px;
  color: var(--muted); font-size: 13px; }
.chip { border: 1px solid var(--hairline); border-radius: 17px; background: none; padding: 0 12px 0 10px; min-height: 34px;
  cursor: pointer; display: inline-flex; gap: 7px; align-items: center; color: var(--ink); font-size: 13.5px; }
.chip:hover { border-color: var(--muted); }
.chip i { width: 10px; height: 10px; border-radius: 50%; background: var(--tint); }
.chip[aria-pressed=true] { background: var(--ink); color: var(--ground); border-color: var(--ink); }
.controls { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 205px), 1fr)); gap: 0 22px; margin-top: 6px;
  padding-top: 4px; border-top: 1px solid var(--hairline); }
.control label, .control .label { display: flex; justify-content: space-between; gap: 8px; font-size: 13.5px; color: var(--muted);
  padding-top: 6px; }
.control output { color: var(--ink); font-variant-numeric: tabular-nums; }
.control .track { margin-top: -8px; }
.control select { font: inherit; font-size: 14px; width: 100%; min-height: 36px; margin: 3px 0 5px; padding: 3px 8px; color: var(--ink);
  background: var(--panel); border: 1px solid var(--hairline); border-radius: 6px; }
.segments { display: flex; margin: 4px 0 6px; border: 1px solid var(--hairline); border-radius: 8px; overflow: hidden; }
.segments button { flex: 1 0 auto; min-height: 36px; border: 0; border-left: 1px solid var(--hairline); background: none; cursor: pointer;
  font-size: 13.5px; padding: 2px 6px; }
.segments button:first-child { border-left: 0; }
.segments button[aria-pressed=true] { background: var(--ink); color: var(--ground); }
.segments button:focus-visible { outline-offset: -3px; }
.dial { display: flex; align-items: center; gap: 12px; }
.dial svg { width: 62px; height: 62px; flex: none; cursor: grab; touch-action: none; overflow: visible; }
.faces { margin: 2px 0 10px; max-width: 460px; }
.ledger { font-size: 13.5px; font-variant-numeric: tabular-nums; display: grid; grid-template-columns: auto 1fr; gap: 2px 14px; margin: 0;
  border-radius: 6px; background: var(--panel); border: 1px solid var(--hairline); padding: 10px 12px; }
.ledger dt { color: var(--muted); white-space: nowrap; }
.ledger dd { margin: 0; overflow-wrap: anywhere; }
.ledger .now { font-weight: 600; border-left: 3px solid var(--tint); margin-left: -9px; padding-left: 6px; }
.caption { color: var(--muted); font-size: 14px; line-height: 1.5; margin: 0 0 12px; max-width: 84ch; }
.foot { display: flex; flex-wrap: wrap; gap: 2px 18px; font-size: 13.5px; color: var(--muted); align-items: center; }
.foot button { border: 0; background: none; padding: 0; min-height: 44px; cursor: pointer; color: var(--ink);
  text-decoration: underline; text-decoration-color: var(--faint); text-underline-offset: 3px; display: inline-flex; align-items: center;
  font-size: 13.5px; list-style: none; }
.foot [aria-expanded]::before { content: "▸"; content: "▸" / ""; margin-right: 6px; } /* not to be read aloud */
.foot [aria-expanded=true]::before { content: "▾"; content: "▾" / ""; }
.foot input { font: 12.5px/1.4 ui-monospace, monospace; flex: 1 1 220px; min-width: 0; min-height: 32px; padding: 4px 8px; color: var(--ink);
  background: var(--panel); border: 1px solid var(--hairline); border-radius: 6px; }
.table { max-height: 330px; overflow: auto; border: 1px solid var(--hairline); border-radius: 6px; margin: 0 0 8px; }
table { border-collapse: collapse; width: 100%; font-size: 13px; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 6px 10px; color: var(--muted); }
th, td { text-align: right; padding: 4px 10px; white-space: nowrap; border-bottom: 1px solid var(--hairline); }
th { position: sticky; top: 0; background: var(--panel); font-weight: 600; }
th:first-child, td:first-child, th:nth-child(2), td:nth-child(2) { text-align: left; }
tr.at td { background: color-mix(in srgb, var(--ink) 8%, transparent); }
.sr { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
@container (min-width: 560px) {
  .stage { grid-template-columns: minmax(0, 1.24fr) minmax(0, 1fr); }
  .stage.pair { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .stage > .below { grid-column: 1 / -1; }
  .below .plot:not(.modes) { aspect-ratio: 3.8; }
  .spatial { display: grid; grid-template-columns: minmax(0, 2.2fr) minmax(0, 1fr); gap: 0 18px; align-items: end; }
  .spatial .head { grid-column: 1 / -1; }
}
@container (max-width: 559px) {
  .lab { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 0 8px; } /* what plays fits on one screen: */
  .lab > *, .column, .right > figure { grid-column: 1 / -1; }
  .stage, .stage:not(.pair) > .right { display: contents; }
  .left, .pair > .right { order: 1; } /* the path, */
  .pair > .left { grid-column: 1; }
  .pair > .right { grid-column: 2; }
  .transport { order: 2; position: relative; gap: 2px; margin: 8px 0 6px; } /* what moves it, */
  .right > figure:first-child, .pair > .below { order: 3; } /* and the view that tells most */
  .methods { order: 4; margin-top: 8px; }
  .main-controls { order: 5; }
  .right > figure + figure { order: 6; margin-top: 12px; }
  .stage:not(.pair) > .below { order: 7; margin-top: 12px; }
  .plot.wide { aspect-ratio: 1.8; }
  .caption { font-size: 13.5px; line-height: 1.42; margin-bottom: 8px; }
  .plot.modes { aspect-ratio: 1.05; }
  .plot.modes.three { aspect-ratio: 0.7; }
  .plot.surface { aspect-ratio: 1.2; }
  .plot.map { aspect-ratio: 1.4; }
  .plot.planes { aspect-ratio: 0.86; }
  .foot { order: 8; }
  .further { order: 9; }
  .more { order: 10; }
  .table { order: 11; }
  .row { grid-template-columns: minmax(0, 1fr) auto; padding: 4px 0 2px; }
  .row .name { grid-column: 1; grid-row: 1; }
  .row .result { grid-column: 1 / -1; grid-row: 3; padding-bottom: 6px; margin-top: -4px; }
  .row .track { grid-column: 1; grid-row: 2; }
  .row > output:not(.result) { grid-column: 2; grid-row: 2; min-width: 64px; text-align: right; }
  .row .name button { margin: 0; order: 3; }
  .chip, .control select, .segments button { min-height: 44px; }
  header { flex-wrap: wrap; gap: 0 12px; margin-bottom: 4px; }
  .transport output { position: absolute; right: 0; top: -1px; min-width: 0; font-size: 12.5px; line-height: 1; }
}
@media (any-pointer: coarse) {
  .chip, .control select, .segments button { min-height: 44px; }
  .best { width: 44px; height: 44px; margin-left: -22px; }
  .track.marked { margin-bottom: 25px; } /* the mark's 44 pixels reach below the track */
  @container (min-width: 560px) {
    .row { align-items: start; }
    .row output:not(.result) { line-height: 44px; }
    .row .result { padding-top: 13px; }
  }
  .foot input { min-height: 44px; }
  @container (max-width: 559px) { .row .track.marked { margin-bottom: 5px; } }
}
@media (forced-colors: active) { /* what is drawn with grounds and hues alone keeps them; the rest takes the system's colours */
  .lab { --ink: CanvasText; --muted: CanvasText; --faint: GrayText; --rail: GrayText; --ground: Canvas; --focus: Highlight; }
  .plot { --ink: var(--pen); --ground: var(--sheet); background: var(--sheet); }
  .plot, input[type=range], .best, .dial svg, :is(.name, .chip) i, .segments [aria-pressed=true], .chip[aria-pressed=true], .transport .play {
    forced-color-adjust: none; }
  .plot { outline: 1px solid CanvasText; outline-offset: 3px; }
  :is(.name, .chip) i { outline: 1px solid CanvasText; }
  .segments [aria-pressed=true], .chip[aria-pressed=true], .transport button.play { background: Highlight; color: HighlightText; }
}
@media (prefers-reduced-motion: reduce) { * { transition: none !important; } }
@media print {
  .transport, .add, .foot, .handle i, .row .name button, .best { display: none; }
  .lab { break-inside: avoid; }
}
`;
