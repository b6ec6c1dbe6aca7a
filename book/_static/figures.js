/* Draws the plotly figures of a page: from the data in the page, when they come near the window, in the
 * colours of the page's theme, again when the reader changes the theme, and all of them before printing. */
(() => {
  "use strict";

  const ROOT = document.documentElement;
  const PLOT_CONFIG = { responsive: true, displaylogo: false, modeBarButtonsToRemove: ["select2d", "lasso2d"] };
  const NARROW = 560; // px of figure width below which legends go under the plot
  const SHEET = 690; // px that a figure may be wide on paper (A4 between common margins)
  const reduced = window.matchMedia("(prefers-reduced-motion: reduce)").matches;

  let printing = false;
  const onPaper = () => printing || window.matchMedia("print").matches;
  const isDark = () => ROOT.dataset.theme === "dark" && !onPaper();

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

  /* Plotly's menus and sliders are pictures that only a pointer can use: the browser's own take their place. */
  function takeControls(layout) {
    const controls = [
      ...(layout.updatemenus || []).map((menu) => ({ kind: "select", name: menu.name, active: menu.active, options: menu.buttons })),
      ...(layout.sliders || []).map((slider) => ({
        kind: "range", name: slider.name || slider.currentvalue?.prefix?.trim(), active: slider.active, options: slider.steps,
      })),
    ];
    if (!controls.length || controls.some(({ options }) => options.some(({ method }) => !/^(update|restyle|relayout)$/.test(method)))) return [];
    delete layout.updatemenus;
    delete layout.sliders;
    layout.margin = { ...layout.margin, t: Math.min(layout.margin?.t ?? 100, layout.title?.text ? 70 : 44) }; // their room
    return controls;
  }

  /* One element a control, above the plot; what the reader chose outlives a redrawing in another theme. */
  function addControls(figure, plot, controls) {
    if (!controls.length || figure.querySelector(".esgd-controls")) return;
    const row = document.createElement("div");
    row.className = "esgd-controls";
    for (const { kind, name, active, options } of controls) {
      const label = document.createElement("label");
      label.append(name || "Shown");
      const control = document.createElement(kind === "range" ? "input" : "select");
      if (kind === "range") {
        Object.assign(control, { type: "range", min: 0, max: options.length - 1, step: 1 });
        const words = document.createElement("output");
        const tell = () => {
          words.textContent = options[control.value].label;
          control.setAttribute("aria-valuetext", words.textContent);
        };
        control.value = active || 0;
        tell();
        control.addEventListener("input", tell);
        label.append(control, words);
      } else {
        control.append(...options.map((option, i) => new Option(option.label, i)));
        control.value = active || 0;
        label.append(control);
      }
      control.addEventListener("input", () => choose(plot, options[control.value]));
      row.append(label);
    }
    plot.before(row);
  }

  const choose = (plot, { method, args }) => window.Plotly[method](plot, ...structuredClone(args));

  /* What differs from the figure's own choices. */
  const chosen = (figure, controls) => {
    const elements = [...figure.querySelectorAll(".esgd-controls :is(input, select)")];
    return controls.map(({ options, active }, i) => (Number(elements[i].value) === (active || 0) ? null : options[elements[i].value])).filter(Boolean);
  };

  function prepared(figure, dark) {
    const source = figure.querySelector("script[type='application/json']").textContent;
    const pairs = dark ? window.esgdDarkColours || {} : {};
    const content = recolour(JSON.parse(recolourText(source, pairs)), pairs);
    const layout = content.layout;
    const plot = figure.querySelector(".esgd-plot");
    layout.template = template(dark);
    layout.autosize = true;
    if (onPaper() && plot.clientWidth > SHEET) layout.width = SHEET; // else it would be cut off
    layout.height = layout.height || 420;
    const controls = takeControls(layout);
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
    return { ...content, controls };
  }

  async function draw(figure) {
    const plot = figure.querySelector(".esgd-plot");
    const dark = isDark();
    figure.dataset.drawn = dark ? "dark" : "light";
    const { data, layout, frames, controls } = prepared(figure, dark);
    addControls(figure, plot, controls);
    await window.Plotly.newPlot(plot, data, layout, PLOT_CONFIG);
    for (const option of chosen(figure, controls)) await choose(plot, option);
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
    const resize = (figure, width) => {
      const plot = figure.querySelector(".esgd-plot");
      if (plot._fullLayout) window.Plotly.relayout(plot, { width, autosize: width === null });
    };
    window.addEventListener("beforeprint", () => {
      printing = true;
      figures.forEach((figure) => {
        if (figure.dataset.drawn !== "light") draw(figure);
        else if (figure.clientWidth > SHEET) resize(figure, SHEET);
      });
    });
    window.addEventListener("afterprint", () => {
      printing = false;
      figures.filter((figure) => figure.dataset.drawn === (isDark() ? "dark" : "light")).forEach((figure) => resize(figure, null));
      redraw(); // the others
    });
    // a figure inside a closed "show the solution" has no width until it is opened
    document.addEventListener("toggle", () => figures.forEach((figure) => {
      if (figure.dataset.drawn) window.Plotly.Plots.resize(figure.querySelector(".esgd-plot"));
    }), true);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
