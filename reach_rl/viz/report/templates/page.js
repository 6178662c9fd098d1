"use strict";
(() => {
  const PAPER = { narrow: 326, wide: 680 }; // pixels, as page.css has them
  const coarse = matchMedia("(pointer: coarse)").matches;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const figures = [...document.querySelectorAll(".figure:has(.plot)")];
  let paper = false;

  const palette = JSON.parse(document.getElementById("palette").textContent);
  const names = Object.fromEntries(Object.entries(palette).map(([name, [light]]) => [light, name]));

  // Figures come in the colours of the light page; the style sheet knows those of this one.
  const coloured = (text) => {
    const name = names[text.slice(0, 7)];
    if (!name) return text;
    const hex = getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
    if (text.length === 7) return hex;
    const part = (i) => parseInt(hex.slice(i, i + 2), 16);
    return `rgba(${part(1)},${part(3)},${part(5)},${parseInt(text.slice(7), 16) / 255})`;
  };

  const resolved = (tree) => {
    if (typeof tree === "string") return /^#[0-9a-f]{6}([0-9a-f]{2})?$/.test(tree) ? coloured(tree) : tree;
    if (Array.isArray(tree)) return typeof tree.at(-1) === "number" ? tree : tree.map(resolved);
    if (tree === null || typeof tree !== "object") return tree;
    return Object.fromEntries(Object.entries(tree).map(([key, value]) => [key, resolved(value)]));
  };

  // How every figure looks, as one of Plotly's templates.
  const template = () => {
    const c = Object.fromEntries(Object.entries(palette).map(([name, [light]]) => [name, light]));
    const axis = {
      gridcolor: c.grid, linecolor: c.line, zerolinecolor: c.line, tickcolor: c.line,
      ticks: "outside", automargin: true, fixedrange: coarse, tickfont: { color: c.muted },
      title: { font: { size: 12, color: c.muted }, standoff: 6 },
    };
    const solid = { backgroundcolor: c.surface, showbackground: true, gridcolor: c.line,
      zerolinecolor: c.muted, color: c.muted };
    const clear = "rgba(0,0,0,0)";
    const layout = {
      paper_bgcolor: clear, plot_bgcolor: clear, margin: { l: 8, r: 8, t: 14, b: 8 },
      font: { family: getComputedStyle(document.body).fontFamily, size: 12, color: c.ink },
      hovermode: "x unified", dragmode: coarse ? false : "zoom",
      hoverlabel: { bgcolor: c.bg, bordercolor: c.line, font: { color: c.ink, size: 12 } },
      legend: { orientation: "h", x: 0, xanchor: "left", y: 1.02, yanchor: "bottom",
        font: { size: 12 }, bgcolor: clear },
      xaxis: axis, yaxis: axis,
      scene: { xaxis: solid, yaxis: solid, zaxis: solid, bgcolor: clear },
    };
    return resolved({ layout });
  };

  const config = { responsive: true, displaylogo: false, displayModeBar: false };

  const draw = (figure) => {
    const plot = figure.querySelector(".plot");
    const spec = JSON.parse(figure.querySelector("script").textContent);
    const layout = { ...spec.layout, template: template(), autosize: true };
    if (paper) layout.width = figure.classList.contains("wide") ? PAPER.wide : PAPER.narrow;
    if (layout.scene && coarse) layout.height = 360;
    const scroll = Boolean(spec.layout.scene) && !coarse;
    Plotly.react(plot, resolved(spec.data), resolved(layout), { ...config, scrollZoom: scroll });
    plot.dataset.drawn = "true";
  };

  const visible = (figure) => !figure.closest("details:not([open])");
  const wanted = () => figures.filter(visible);
  const redraw = () => wanted().forEach(draw);

  // One at a time, from above, so that the page can be read meanwhile.
  const drawNext = () => {
    const next = wanted().find((figure) => !figure.querySelector(".plot").dataset.drawn);
    if (next) draw(next);
    if (next) setTimeout(drawNext);
    else document.documentElement.dataset.ready = "true";
  };

  const onPaper = (on) => {
    if (paper === on) return;
    paper = on;
    redraw();
  };

  setTimeout(drawNext);
  dark.addEventListener("change", redraw);
  addEventListener("beforeprint", () => onPaper(true));
  addEventListener("afterprint", () => onPaper(false));
  matchMedia("print").addEventListener("change", (event) => onPaper(event.matches));
  for (const details of document.querySelectorAll("details")) {
    details.addEventListener("toggle", drawNext);
  }

  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.key === undefined ? cell.textContent : Number(cell.dataset.key);
  };
  // What has no number stands at the end, whichever way a table is sorted.
  const compared = (down) => (a, b) => {
    const sign = down ? -1 : 1;
    if (typeof a === "number" && typeof b === "number") return sign * (a - b);
    if (typeof a === "number" || typeof b === "number") return typeof a === "number" ? -1 : 1;
    return sign * a.localeCompare(b);
  };

  for (const table of document.querySelectorAll("table")) {
    const heads = [...table.querySelectorAll("th")];
    const body = table.querySelector("tbody");
    heads.forEach((head, column) => {
      const first = body.rows[0];
      if (first && first.cells[column].dataset.key !== undefined) head.classList.add("number");
      head.querySelector("button").addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        const order = compared(down);
        const rows = [...body.rows].sort((a, b) => order(key(a, column), key(b, column)));
        heads.forEach((other) => other.removeAttribute("aria-sort"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        body.append(...rows);
      });
    });
  }
})();
