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
  const asked = () => (location.hash.startsWith("#lab=") ? location.hash : null);

  function start(module, place) {
    if (place.dataset.esgdLabReady) return;
    place.dataset.esgdLabReady = "yes";
    const box = place.closest(".cell_output .text_html, .output.text_html, .jp-RenderedHTMLCommon");
    if (box) box.style.cssText += ";background:none;padding:0;color:inherit";
    const scene = place.dataset.esgdLab;
    let state = {};
    try {
      state = JSON.parse(place.dataset.state || "{}");
    } catch (error) {
      console.error(`esgd lab: the data-state of scene ${scene} is not JSON`, error);
    }
    const shared = asked() && module.core.decodeState(asked());
    const mine = shared && shared.scene === scene;
    place.esgdLab = module.mount(place, { scene, state: mine ? { ...state, ...shared.state } : state });
    if (mine) requestAnimationFrame(() => place.scrollIntoView({ block: "center" }));
  }

  async function everywhere() {
    const places = [...document.querySelectorAll("[data-esgd-lab]")].filter((place) => !place.dataset.esgdLabReady);
    if (!places.length) return;
    const module = await loaded;
    const wanted = asked() && module.core.decodeState(asked())?.scene;
    const later = new IntersectionObserver((entries) => {
      for (const entry of entries) {
        if (!entry.isIntersecting) continue;
        later.unobserve(entry.target);
        start(module, entry.target);
      }
    }, { rootMargin: "900px 0px" });
    places.forEach((place, index) => {
      if (index < 2 || place.dataset.esgdLab === wanted) start(module, place);
      else later.observe(place);
    });
    addEventListener("beforeprint", () => places.forEach((place) => start(module, place)));
  }

  addEventListener("hashchange", async () => {
    if (!asked()) return;
    const { core } = await loaded;
    const shared = core.decodeState(asked());
    const place = document.querySelector(`[data-esgd-lab="${CSS.escape(shared?.scene ?? "")}"]`);
    if (place?.esgdLab) {
      place.esgdLab.set(shared.state);
      place.scrollIntoView({ block: "center" });
    }
  });
  if (document.readyState === "loading") addEventListener("DOMContentLoaded", everywhere);
  else everywhere();
})();
