// loralab's sides: the core in WebAssembly, on WebGPU or on the CPU device.
import { Probe } from "./bench_web.js";

const on = (tile) => async ({ drawn }) => {
  const probe = await Probe.open(drawn, tile);
  return () => probe.step();
};

// On a software GPU the page's worker takes the first, on others the second.
export const [oursGpu, oursSquare, ours] = [on("128x128"), on("64x64"), on(undefined)];
