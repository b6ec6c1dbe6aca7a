// Puts a lab into every [data-esgd-lab] of a page. A classic script, so that it also runs on a page opened as
// a file: the module's text is inside and is imported through a Blob. Made whole by esgd.lab.page_script().
(() => {
  "use strict";
  if (globalThis.__esgdLab) return;
  const SOURCE = /* the module */ "";
  const loaded = (globalThis.__esgdLab = (() => {
    const url = URL.createObjectURL(new Blob([SOURCE], { type: "text/javascript" }));
    return import(url).finally(() => URL.revokeObjectURL(url));
  })());
  const every = (scene) => [...document.querySelectorAll(`[data-esgd-lab="${CSS.escape(scene)}"]`)];

  /** The lab that the address is for and the settings it asks for, or null. */
  function asked(module) {
    const wanted = module.core.decodeState(location.hash);
    const place = wanted && every(wanted.scene)[wanted.nth - 1];
    return place ? { place, state: wanted.state } : null;
  }

  /** The settings that the page itself gives a lab. */
  function ownState(place) {
    try {
      return JSON.parse(place.dataset.state || "{}");
    } catch (error) {
      console.error(`esgd lab: the data-state of scene ${place.dataset.esgdLab} is not JSON`, error);
      return {};
    }
  }

  function start(module, place, printing = false) {
    if (place.dataset.esgdLabReady) return;
    place.dataset.esgdLabReady = "yes";
    const box = place.closest(".cell_output .text_html, .output.text_html, .jp-RenderedHTMLCommon");
    if (box) box.style.cssText += ";background:none;padding:0;color:inherit";
    const shared = asked(module);
    const mine = shared?.place === place;
    const opening = ownState(place);
    place.esgdLab = module.mount(place, { scene: place.dataset.esgdLab, opening, state: mine ? shared.state : opening });
    if (printing) place.esgdLab.print();
    if (mine) requestAnimationFrame(() => place.scrollIntoView({ block: "center" }));
  }

  async function everywhere() {
    const places = [...document.querySelectorAll("[data-esgd-lab]")].filter((place) => !place.dataset.esgdLabReady);
    if (!places.length) return;
    const module = await loaded;
    const wanted = asked(module)?.place;
    const later = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        later.unobserve(entry.target);
        start(module, entry.target);
      }
    }, { rootMargin: "900px 0px" });
    places.forEach((place, index) => {
      if (index < 2 || place === wanted) start(module, place);
      else later.observe(place);
    });
    addEventListener("beforeprint", () => places.forEach((place) => start(module, place, true)), { once: true });
  }

  addEventListener("hashchange", async () => {
    const module = await loaded;
    const shared = asked(module);
    if (!shared) return;
    const { place, state } = shared;
    if (place.esgdLab) {
      place.esgdLab.set(state); // an address tells a whole state, whatever the page gave the lab
      place.scrollIntoView({ block: "center" });
    } else start(module, place); // it takes the address's settings by itself
  });
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", everywhere);
  else everywhere();
})();
