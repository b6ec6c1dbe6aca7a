// Colours and the page's light or dark theme. PALETTE is esgd/figures/palette.py; a test keeps them equal.

export const PALETTE = {
  sgd: ["#0072B2", "#4FA8DD"],
  momentum: ["#6A51A3", "#A694DC"],
  nesterov: ["#1D2C73", "#5C78FF"],
  newton: ["#6B6B6B", "#A8A8A8"],
  saddle_free: ["#B8578F", "#E08FBE"],
  jacobi: ["#D55E00", "#FF8A3D"],
  equilibration: ["#3E9C8B", "#7FD6C4"],
  adagrad: ["#4A4A00", "#E3E6A0"],
  rmsprop: ["#B88600", "#F0C23B"],
  adam: ["#8C564B", "#C99084"],
  esgd: ["#007A57", "#1FC796"],
};

/** Red, green and blue of a colour like #0072B2. */
export const channels = (hex) => [1, 3, 5].map((i) => parseInt(hex.slice(i, i + 2), 16));

const GROUNDS = {
  light: {
    ink: "#1f2328", muted: "#59616b", faint: "#8b939d", hairline: "#d5dae0", ground: "#ffffff", panel: "#fbfbfa",
    above: [240, 233, 222], level: [252, 251, 249], below: [214, 229, 242], contour: "rgba(60,66,76,0.20)",
    critical: "rgba(60,66,76,0.55)", accent: "#1f2328",
  },
  dark: {
    ink: "#e6e9ed", muted: "#a4adb8", faint: "#78818c", hairline: "#3a424c", ground: "#14181e", panel: "#191e25",
    above: [58, 48, 38], level: [27, 31, 37], below: [22, 46, 70], contour: "rgba(225,230,240,0.17)",
    critical: "rgba(225,230,240,0.55)", accent: "#e6e9ed",
  },
};

export function colours(dark) {
  const hue = Object.fromEntries(Object.entries(PALETTE).map(([name, pair]) => [name, pair[Number(dark)]]));
  return { dark, hue, ...GROUNDS[dark ? "dark" : "light"] };
}

/** Whether the page is dark: the book's theme, JupyterLab's, then the system's. */
export function pageIsDark() {
  const root = document.documentElement;
  const book = root.dataset.theme;
  if (book === "dark" || book === "light") return book === "dark";
  const lab = document.body?.dataset.jpThemeLight;
  if (lab) return lab === "false";
  if (root.hasAttribute("theme")) return root.getAttribute("theme") === "dark"; // Colab
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/** Calls back when the page's theme changes; returns a function that stops it. */
export function watchTheme(callback) {
  const observer = new MutationObserver(callback);
  const options = { attributes: true, attributeFilter: ["data-theme", "data-jp-theme-light", "theme"] };
  observer.observe(document.documentElement, options);
  if (document.body) observer.observe(document.body, options);
  const media = matchMedia("(prefers-color-scheme: dark)");
  media.addEventListener("change", callback);
  return () => {
    observer.disconnect();
    media.removeEventListener("change", callback);
  };
}
