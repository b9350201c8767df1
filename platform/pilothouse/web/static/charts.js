/* Charts: crosshair, reading by keyboard, drag to zoom. The figures come from the table below each plot. */
(() => {
  "use strict";
  const NS = "http://www.w3.org/2000/svg", figures = [...document.querySelectorAll("[data-chart]")];
  const make = (tag, cls, parent) => { const e = document.createElementNS(NS, tag); e.setAttribute("class", cls); parent.append(e); return e; };
  const all = [];
  for (const fig of figures) {
    const plot = fig.querySelector("[data-plot]"), box = fig.querySelector(".chart"); if (!plot || !plot.dataset.plot) continue;
    const xs = plot.dataset.plot.split(" ").map(Number), names = [...fig.querySelectorAll("thead th")].map(t => t.textContent), rows = [...fig.querySelectorAll("tbody tr")].map(r => [...r.cells].map(c => c.textContent.trim()));
    const tip = document.createElement("div"); tip.className = "tip"; tip.hidden = true; box.append(tip);
    const hair = make("path", "hair", plot), zone = make("rect", "zone", plot); zone.setAttribute("height", plot.viewBox.baseVal.height);
    const chart = { fig, plot, at: -1,
      show(i) {
        chart.at = i; hair.setAttribute("d", i < 0 ? "" : `M${xs[i]} 0V${plot.viewBox.baseVal.height}`); tip.hidden = i < 0; if (i < 0) return;
        tip.replaceChildren(...rows[i].map((v, n) => { const e = document.createElement(n ? "span" : "b"); e.textContent = n ? `${names[n]} ${v}` : v; const d = document.createElement("div"); d.append(e); return d; }));
        const p = plot.getBoundingClientRect(), b = box.getBoundingClientRect(), x = p.left - b.left + xs[i] / 1000 * p.width;
        tip.style.left = (x > b.width / 2 ? x - tip.offsetWidth - 12 : x + 12) + "px";
      } };
    all.push(chart);
    const units = ev => { const p = plot.getBoundingClientRect(); return (ev.clientX - p.left) / p.width * 1000; };
    const near = x => xs.reduce((best, v, i) => Math.abs(v - x) < Math.abs(xs[best] - x) ? i : best, 0);
    const share = i => all.forEach(c => c.plot.dataset.plot === plot.dataset.plot ? c.show(i) : c.show(-1));
    let from = null;
    const span = x => { const a = Math.max(0, Math.min(from, x)), z = Math.min(1000, Math.max(from, x)); zone.setAttribute("x", a); zone.setAttribute("width", z - a); return [a, z]; };
    plot.addEventListener("pointermove", ev => { share(near(units(ev))); if (from !== null) span(units(ev)); });
    plot.addEventListener("pointerleave", () => { if (from === null) share(-1); });
    plot.addEventListener("pointerdown", ev => { if ((plot.dataset.zoom || fig.querySelector("tbody a")) && ev.button === 0 && ev.pointerType === "mouse") { from = units(ev); plot.setPointerCapture(ev.pointerId); } });
    plot.addEventListener("pointerup", ev => {
      if (from === null) return; const [a, z] = span(units(ev)); from = null; zone.setAttribute("width", 0);
      if (z - a < 15) { fig.querySelectorAll("tbody tr")[near(units(ev))]?.querySelector("a")?.click(); return; }
      if (!plot.dataset.zoom) return; const edges = plot.dataset.at.split(" ").map(Number), first = edges[0], last = edges[edges.length - 1], u = new URL(plot.dataset.zoom, location.href);
      u.searchParams.set("since", Math.round(first + (last - first) * a / 1000)); u.searchParams.set("until", Math.round(first + (last - first) * z / 1000)); u.searchParams.delete("range"); location.href = u;
    });
    plot.addEventListener("keydown", ev => {
      const step = { ArrowLeft: -1, ArrowRight: 1, Home: -1e9, End: 1e9 }[ev.key]; if (ev.key === "Escape") return share(-1); if (!step) return;
      ev.preventDefault(); const i = Math.max(0, Math.min(xs.length - 1, (chart.at < 0 ? (step > 0 ? -1 : xs.length) : chart.at) + step)); share(i);
      window.PH?.say(rows[i].map((v, n) => n ? `${names[n]} ${v}` : v).join(", "));
    });
    plot.addEventListener("blur", () => share(-1));
  }
})();
