"""The report's script: it shows the values of a figure next to the pointer, a finger or the arrow keys.

It is part of the page and loads nothing. Without it, or where scripts are off, the page is complete apart from these
values. What it takes is `trainer.report.figures.Drawn.hover`.
"""

from __future__ import annotations

STYLE = """
figure.plot { position: relative; } figure.plot svg { touch-action: pan-y; }
figure.plot:focus-visible { outline: 2px solid var(--c1); outline-offset: 2px; }
.tip { position: absolute; z-index: 1; pointer-events: none; max-width: min(22rem, 100%); opacity: .95;
  padding: .3rem .55rem; border: 1px solid var(--line); border-radius: .35rem; background: var(--paper);
  color: var(--ink); font-size: .8rem;
  line-height: 1.4; font-variant-numeric: tabular-nums; box-shadow: 0 1px 6px #0003; }
.tip div { display: flex; gap: .4rem; align-items: baseline; }
.tip i { flex: none; width: .6rem; height: .6rem; border-radius: 50%; }
.tip span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; min-width: 2.5rem; }
.tip b, .tip small { white-space: nowrap; flex: none; } .tip span, .tip small { color: var(--soft); }
@media print { .tip { display: none; } }
"""

SCRIPT = """
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg", WIDTH = 374.4;
  const number = value => value.toLocaleString("en-US", {maximumSignificantDigits: 6});
  const short = value => {
    const size = value >= 1e9 ? 1e9 : value >= 1e6 ? 1e6 : value >= 1e3 ? 1e3 : 1;
    return Number((value / size).toPrecision(4)) + {1e9: "G", 1e6: "M", 1e3: "k", 1: ""}[size];
  };
  const place = (axis, x) =>
    axis === "step" ? "step " + number(x) : (axis === "tokens" ? short(x) : Number(x.toPrecision(4))) + " " + axis;
  const nearest = (xs, x) => {
    let low = 0, high = xs.length - 1;
    while (high - low > 1) { const middle = (low + high) >> 1; if (xs[middle] < x) low = middle; else high = middle; }
    return Math.abs(xs[low] - x) <= Math.abs(xs[high] - x) ? low : high;
  };
  const make = (parent, name, attributes) => {
    const made = parent.appendChild(document.createElementNS(SVG, name));
    for (const key in attributes) made.setAttribute(key, attributes[key]);
    return made;
  };
  for (const figure of document.querySelectorAll("figure.plot")) {
    let data = null, marks = null, tip = null, at = null;
    const svg = figure.querySelector("svg");
    const begin = () => {
      data = JSON.parse(figure.querySelector("script").textContent);
      marks = make(svg, "g", {});
      tip = figure.appendChild(document.createElement("div"));
      tip.className = "tip";
    };
    const hide = () => { if (tip) { tip.hidden = true; marks.replaceChildren(); } };
    const show = x => {
      if (!data) begin();
      const [left, right, top, bottom] = data.box, [x0, x1] = data.x, [y0, y1] = data.y;
      const value = v => data.percent ? (100 * v).toFixed(2) + "%" : number(v);
      const rows = data.curves.map(curve => ({curve, i: nearest(curve.x, x)}));
      const first = rows.reduce((a, b) => Math.abs(b.curve.x[b.i] - x) < Math.abs(a.curve.x[a.i] - x) ? b : a);
      at = first.curve.x[first.i];
      const across = v => left + (v - x0) / (x1 - x0) * (right - left);
      marks.replaceChildren();
      make(marks, "line", {x1: across(at), x2: across(at), y1: top, y2: bottom, style: "stroke: var(--faint)"});
      tip.replaceChildren();
      tip.appendChild(document.createElement("b")).textContent = place(data.axis, at);
      for (const {curve, i} of rows) {
        const there = curve.x[i], y = curve.y[i], color = "var(--c" + curve.c + ")";
        const row = tip.appendChild(document.createElement("div"));
        row.appendChild(document.createElement("i")).style.background = color;
        if (curve.name) row.appendChild(document.createElement("span")).textContent = curve.name;
        row.appendChild(document.createElement("b")).textContent = value(y);
        let note = curve.m ? "mean " + value(Number(curve.m[i].toPrecision(4))) : "";
        if (there !== at) note += (note ? ", " : "") + "at " + place(data.axis, there);
        if (note) row.appendChild(document.createElement("small")).textContent = note;
        const down = bottom - ((curve.m ? curve.m[i] : y) - y0) / (y1 - y0) * (bottom - top);
        make(marks, "circle", {cx: across(there), cy: down, r: 3.5, style: "fill: " + color});
      }
      tip.hidden = false;
      const inner = svg.getBoundingClientRect(), outer = figure.getBoundingClientRect(), scale = inner.width / WIDTH;
      const middle = across(at) * scale, room = figure.clientWidth - tip.offsetWidth;
      const side = middle + 12 <= room ? middle + 12 : middle - 12 - tip.offsetWidth;
      tip.style.left = Math.max(0, Math.min(room, side)) + "px";
      tip.style.top = inner.top - outer.top + top * scale + 4 + "px";
    };
    const move = event => {
      if (!data) begin();
      const box = svg.getBoundingClientRect(), [left, right] = data.box, [x0, x1] = data.x;
      show(x0 + ((event.clientX - box.left) / box.width * WIDTH - left) / (right - left) * (x1 - x0));
    };
    svg.addEventListener("pointermove", move);
    svg.addEventListener("pointerdown", move);
    svg.addEventListener("pointerleave", hide);
    figure.addEventListener("blur", hide);
    figure.addEventListener("keydown", event => {
      const by = {ArrowLeft: -1, ArrowRight: 1}[event.key];
      if (event.key === "Escape") hide();
      if (!by) return;
      event.preventDefault();
      if (!data) begin();
      const xs = data.curves.reduce((a, b) => b.x.length > a.x.length ? b : a).x;
      const now = at === null ? (by > 0 ? -1 : xs.length) : nearest(xs, at);
      show(xs[Math.max(0, Math.min(xs.length - 1, now + by))]);
    });
  }
})();
"""
