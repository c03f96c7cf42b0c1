// loralab's sides: the core in WebAssembly, on WebGPU or on the CPU device.
import { Probe } from "./bench_web.js";

const on = (gpu) => async ({ drawn }) => {
  const probe = await Probe.open(drawn, gpu);
  return () => probe.step();
};

export const [oursGpu, ours] = [on(true), on(false)];
