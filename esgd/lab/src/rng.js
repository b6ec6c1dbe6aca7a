// Seeded random numbers, the same in esgd/lab/rng.py bit for bit: every draw is a function of
// (seed, purpose, index), so that any step can be computed again without the steps before it.

export const PURPOSE = { probe: 1, noise: 2, scatter: 3 };

/** Murmur3's finaliser: a well-mixed 32-bit word from a 32-bit word. */
export function mix32(word) {
  let h = word >>> 0;
  h = Math.imul(h ^ (h >>> 16), 0x85ebca6b);
  h = Math.imul(h ^ (h >>> 13), 0xc2b2ae35);
  return (h ^ (h >>> 16)) >>> 0;
}

/** Mulberry32: a generator of uniforms in [0, 1) with 32 bits of state. */
export function mulberry32(state) {
  let s = state >>> 0;
  return () => {
    s = (s + 0x6d2b79f5) >>> 0;
    let t = Math.imul(s ^ (s >>> 15), s | 1);
    t = (t + Math.imul(t ^ (t >>> 7), t | 61)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
}

/** The generator of one draw. */
export function stream(seed, purpose, index) {
  return mulberry32(mix32(mix32(mix32(seed) + purpose) + index));
}

/** Two independent N(0, 1) numbers by Box and Muller. */
export function gaussianPair(next) {
  const radius = Math.sqrt(-2 * Math.log(1 - next()));
  const angle = 2 * Math.PI * next();
  return [radius * Math.cos(angle), radius * Math.sin(angle)];
}

/** Two independent signs. */
export function rademacherPair(next) {
  const first = next() < 0.5 ? -1 : 1;
  return [first, next() < 0.5 ? -1 : 1];
}

/** Probe number `index` of a run: Rademacher signs or Gaussian numbers, `size` of them (an even number). */
export function drawProbe(kind, seed, index, size = 2) {
  const next = stream(seed, PURPOSE.probe, index);
  const pair = kind === "gaussian" ? gaussianPair : rademacherPair;
  return Array.from({ length: size / 2 }, () => pair(next)).flat();
}

/** The standard normal pair behind the gradient noise of step `index`. */
export function drawNoise(seed, index) {
  return gaussianPair(stream(seed, PURPOSE.noise, index));
}
