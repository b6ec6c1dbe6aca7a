// Compares the lab's arithmetic with the golden files. In Node: node compare.mjs MODULE FOLDER; the browser test
// calls deviations() by itself. Prints JSON: one line of results with the largest relative deviation of each.
// A scene counts as equal only if the golden run was made from the preset with which it opens today.

const far = (a, b) => Math.abs(a - b) / Math.max(1, Math.abs(a), Math.abs(b));
const furthest = (a, b) => (a.length === b.length ? Math.max(0, ...a.map((v, i) => far(v, b[i]))) : Infinity);

/** Whether a golden run of a scene was made from today's preset, the method aside. */
function current(core, SCENES, { scene, face, state }) {
  const opened = core.makeState(SCENES[scene].state, face ? SCENES[scene].faces[face] : {});
  return opened.methods.includes(state.methods[0]) && Object.keys(state).every((key) => key === "methods" || String(state[key]) === String(opened[key]));
}

export function deviations(core, SCENES, golden) {
  const results = [];
  for (const [name, content] of Object.entries(golden)) {
    if (name === "draws") {
      for (const [kind, items] of Object.entries(content)) {
        for (const { seed, index, pair } of items) {
          const ours = kind === "noise" ? core.drawNoise(seed, index) : core.drawProbe(kind, seed, index);
          results.push({ what: `draw ${kind} ${seed} ${index}`, deviation: furthest(ours, pair) });
        }
      }
    } else if (name === "derivatives") {
      for (const { state, point, value, gradient, hessian } of content) {
        const land = core.landscapeOf(core.makeState({}, state));
        const { a, b, c } = land.hess(point);
        const ours = [land.f(point), ...land.grad(point), a, b, b, c];
        results.push({ what: `derivatives ${state.landscape}`, deviation: furthest(ours, [value, ...gradient, ...hessian.flat()]) });
      }
    } else if (name === "many") {
      for (const { state, every, points, diverged } of content) {
        const [method] = state.methods;
        const S = core.makeState({}, state);
        const run = core.manyRun(method, S, core.manyProblem(S, core.modesOf(core.landscapeOf(S).quadratic)[0].h));
        const ours = run.filter((_, t) => t % every === 0);
        const same = (run.length <= S.steps ? run.length : null) === diverged;
        const what = `many ${method} ${state.curvature} ${S.many} of ${state.landscape}${S.weights.length ? ", moved by hand" : ""} damping ${S.damping}`;
        results.push({ what, many: S.many, deviation: same ? furthest(ours.flat(), points.flat()) : Infinity });
      }
    } else {
      for (const item of content) {
        const { state, points, losses, diverged } = item;
        const [method] = state.methods;
        const run = core.trajectory(method, core.makeState({}, state));
        const deviation = Math.max(furthest(run.points.flat(), points.flat()), furthest(run.losses, losses));
        const what = `${item.scene ?? name} ${method} ${item.face ?? state.curvature} seed ${state.seed}`;
        const same = run.diverged === diverged && (!item.scene || current(core, SCENES, item));
        results.push({ what, scene: item.scene, deviation: same ? deviation : Infinity });
      }
    }
  }
  return results.map((r) => ({ ...r, deviation: Number.isFinite(r.deviation) ? r.deviation : 1e300 }));
}

if (typeof process !== "undefined" && process.argv?.[2]) {
  const { readdirSync, readFileSync } = await import("node:fs");
  const text = readFileSync(process.argv[2], "utf8");
  const { core, SCENES } = await import(`data:text/javascript;base64,${Buffer.from(text).toString("base64")}`);
  const folder = process.argv[3];
  const golden = Object.fromEntries(readdirSync(folder).filter((f) => f.endsWith(".json")).map((f) => [f.slice(0, -5), JSON.parse(readFileSync(`${folder}/${f}`, "utf8"))]));
  console.log(JSON.stringify(deviations(core, SCENES, golden)));
}
