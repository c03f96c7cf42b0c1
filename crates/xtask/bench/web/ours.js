// loralab's sides: the core in WebAssembly, on WebGPU or on the CPU device.
import { Probe } from "./bench_web.js";

const on = (tile) => async ({ drawn }) => {
  const probe = await Probe.open(drawn, tile);
  return () => probe.step();
};

// The page's worker takes the first.
export const [oursGpu, oursLarge, ours] = [on("64x64"), on("128x128"), on(undefined)];
