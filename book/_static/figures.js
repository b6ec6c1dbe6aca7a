/* Draws the plotly figures of a page: from the data in the page, when they come near the window, in the
 * colours of the page's theme, again when the reader changes the theme, and all of them before printing. */
(() => {
  "use strict";

  const ROOT = document.documentElement;
  const PLOT_CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
  const NARROW = 560; // px of figure width below which legends go under the plot
  const reduced = window.matchMedia("(prefers-reduced-motion: reduce)").matches;

  const isDark = () => ROOT.dataset.theme === "dark" && !window.matchMedia("print").matches;

  function template(dark) {
    const ink = dark ? "#d8dee6" : "#24303c";
    const soft = dark ? "#3a4552" : "#dfe4ea";
    const zero = dark ? "#5d6b7a" : "#b4bec9";
    const ground = dark ? "#1b222b" : "#ffffff";
    const axis = { gridcolor: soft, zerolinecolor: zero, linecolor: zero, tickcolor: zero, automargin: true };
    const scene = { gridcolor: soft, zerolinecolor: zero, backgroundcolor: "rgba(0,0,0,0)", color: ink };
    return {
      layout: {
        font: { color: ink, family: getComputedStyle(document.body).fontFamily, size: 14 },
        paper_bgcolor: "rgba(0,0,0,0)",
        plot_bgcolor: "rgba(0,0,0,0)",
        colorway: dark
          ? ["#4FA8DD", "#FF8A3D", "#1FC796", "#F0C23B", "#A694DC", "#E08FBE", "#A8A8A8"]
          : ["#0072B2", "#D55E00", "#007A57", "#B88600", "#6A51A3", "#B8578F", "#6B6B6B"],
        colorscale: { sequential: "Viridis", diverging: "RdBu" },
        xaxis: axis, yaxis: axis,
        scene: { xaxis: scene, yaxis: scene, zaxis: scene },
        legend: { bgcolor: "rgba(0,0,0,0)" },
        hoverlabel: { bgcolor: ground, bordercolor: zero, font: { color: ink } },
        margin: { l: 60, r: 20, t: 40, b: 50 },
        updatemenudefaults: { bgcolor: ground, bordercolor: zero, font: { color: ink } },
        sliderdefaults: { bgcolor: zero, bordercolor: zero, font: { color: ink }, activebgcolor: ink },
        annotationdefaults: { font: { color: ink }, arrowcolor: ink },
        shapedefaults: { line: { color: zero } },
      },
      data: {
        contour: [{ colorbar: { outlinewidth: 0 } }],
        heatmap: [{ colorbar: { outlinewidth: 0 } }],
        surface: [{ colorbar: { outlinewidth: 0 } }],
      },
    };
  }

  /* The palette's colours have a partner for dark grounds (esgd/figures/palette.py): swap them everywhere. */
  function recolour(value, swap) {
    if (typeof value === "string") {
      const short = value.toLowerCase();
      if (swap[short]) return swap[short];
      return value.length === 9 && swap[short.slice(0, 7)] ? swap[short.slice(0, 7)] + value.slice(7) : value;
    }
    if (Array.isArray(value)) return value.map((item) => recolour(item, swap));
    if (value && typeof value === "object" && !ArrayBuffer.isView(value)) {
      if ("bdata" in value) return value;
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, recolour(item, swap)]));
    }
    return value;
  }

  const rgba = (hex, alpha) => {
    const n = parseInt(hex.slice(1), 16);
    return `rgba(${n >> 16}, ${(n >> 8) & 255}, ${n & 255}, ${alpha})`;
  };

  /* Bands are drawn as rgba() of a palette colour: swap those too. */
  function recolourText(json, pairs) {
    let text = json;
    for (const [light, dark] of Object.entries(pairs)) {
      const n = parseInt(light.slice(1), 16);
      const rgb = new RegExp(
        `rgba\\(\\s*${n >> 16}\\s*,\\s*${(n >> 8) & 255}\\s*,\\s*${n & 255}\\s*,\\s*([0-9.]+)\\s*\\)`, "g");
      text = text.replace(rgb, (_, alpha) => rgba(dark, alpha));
    }
    return text;
  }

  function prepared(figure, dark) {
    const source = figure.querySelector("script[type='application/json']").textContent;
    const pairs = dark ? window.esgdDarkColours || {} : {};
    const content = recolour(JSON.parse(recolourText(source, pairs)), pairs);
    const layout = content.layout;
    const plot = figure.querySelector(".esgd-plot");
    layout.template = template(dark);
    layout.autosize = true;
    layout.height = layout.height || 420;
    for (const menu of layout.updatemenus || []) {
      if (menu.type === "buttons") menu.active = -1; // else the pressed button is invisible in the dark
    }
    if (plot.clientWidth < NARROW) {
      const sliders = (layout.sliders || []).length > 0;
      if (!sliders && layout.showlegend !== false) {
        layout.legend = {
          ...layout.legend, orientation: "h", x: 0, xanchor: "left", y: 0, yref: "container", yanchor: "bottom",
        };
        layout.margin = { ...layout.margin, b: Math.max(layout.margin?.b ?? 0, 100) };
      }
      layout.margin = { ...layout.margin, l: Math.min(layout.margin?.l ?? 50, 50), r: 10 };
      if (layout.title?.text) layout.title = { ...layout.title, font: { ...layout.title.font, size: 14 } };
    }
    if (reduced) layout.transition = { duration: 0 };
    return content;
  }

  async function draw(figure) {
    const plot = figure.querySelector(".esgd-plot");
    const dark = isDark();
    figure.dataset.drawn = dark ? "dark" : "light";
    const { data, layout, frames } = prepared(figure, dark);
    await window.Plotly.newPlot(plot, data, layout, PLOT_CONFIG);
    if (frames) await window.Plotly.addFrames(plot, frames);
    plot.style.minHeight = "";
    figure.dataset.ready = "true";
  }

  function start() {
    const figures = [...document.querySelectorAll("[data-esgd-plotly]")];
    const near = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (entry.isIntersecting && !entry.target.dataset.drawn) draw(entry.target);
      }
    }, { rootMargin: "600px 0px" });
    figures.forEach((figure) => near.observe(figure));

    const redraw = () => {
      const name = isDark() ? "dark" : "light";
      figures.forEach((figure) => {
        if (figure.dataset.drawn && figure.dataset.drawn !== name) draw(figure);
      });
    };
    new MutationObserver(redraw).observe(ROOT, { attributes: true, attributeFilter: ["data-theme"] });
    window.matchMedia("print").addEventListener("change", redraw);
    window.addEventListener("beforeprint", () => figures.forEach((figure) => {
      if (!figure.dataset.drawn) draw(figure);
    }));
    // a figure inside a closed "show the solution" has no width until it is opened
    document.addEventListener("toggle", () => figures.forEach((figure) => {
      if (figure.dataset.drawn) window.Plotly.Plots.resize(figure.querySelector(".esgd-plot"));
    }), true);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
