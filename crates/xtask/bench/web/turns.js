// Every side makes a step in its turn, so that whatever else the machine does falls on all. `cargo xtask bench web` reads `bench`.
import load, { Start } from "./bench_web.js";
import { jaxWasm, jaxWebgpu } from "./jax.js";
import { ours, oursGpu, oursSquare } from "./ours.js";
import { tfWebgpu } from "./tf.js";

const SIDES = {
  "loralab, WebGPU": oursGpu,
  "loralab, WebGPU in tiles of 64 × 64": oursSquare,
  "jax-js, WebGPU": jaxWebgpu,
  "TF.js, WebGPU": tfWebgpu,
  "loralab, CPU in wasm": ours,
  "jax-js, wasm": jaxWasm,
};
const { warmUp, rounds } = Object.fromEntries([...new URLSearchParams(location.search)].map(([name, value]) => [name, Number(value)]));

const bench = (globalThis.bench = { said: "loading", failure: null, sides: null });

// Some sides only: `sides=0,2`.
const chosen = new URLSearchParams(location.search).get("sides")?.split(",").map(Number);

const measure = async () => {
  await load();
  const drawn = new Start();
  const start = { drawn, base: drawn.base(), a: drawn.a(), features: drawn.features(), expected: drawn.expected() };
  const sides = [];
  for (const [name, open] of Object.entries(SIDES).filter((_, place) => chosen?.includes(place) ?? true)) {
    bench.said = `opening ${name}`;
    sides.push({ name, step: await open(start), seconds: [], losses: [] });
  }
  for (let round = 0; round < warmUp + rounds; round += 1) {
    for (const side of sides) {
      bench.said = `${round < warmUp ? "warm-up" : "round"} ${round + 1} of ${warmUp + rounds}: ${side.name}`;
      const began = performance.now();
      side.losses.push(await side.step());
      side.seconds.push((performance.now() - began) / 1000);
      // Let the browser do what waits.
      await new Promise((next) => setTimeout(next, 0));
    }
  }
  bench.sides = sides.map(({ name, seconds, losses }) => ({ name, seconds, losses }));
};

measure().catch((error) => (bench.failure = `${bench.said}: ${error?.stack ?? error}`));
