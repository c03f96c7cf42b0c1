// jax-js's sides: one jitted function for the loss, its gradients and the update.
import { blockUntilReady, init, jit, numpy as np, valueAndGrad } from "./npm/@jax-js/jax/dist/index.js";

const [LAYERS, WIDTH, ROWS, RANK, SCALE, LEARNING_RATE] = [4, 512, 1024, 8, 2, 0.5];

const loss = (params, base, features, expected) => {
  let x = features;
  for (let layer = 0; layer < LAYERS; layer += 1) {
    if (layer > 0) x = np.maximum(x, 0);
    const [a, b] = params[layer];
    const low = np.matmul(x.ref, a.transpose());
    x = np.matmul(x, base[layer].transpose()).add(np.matmul(low, b.transpose()).mul(SCALE));
  }
  return np.square(x.sub(expected)).mean();
};

const on = (device) => async (start) => {
  if (!(await init()).includes(device)) throw `jax-js finds no ${device}`;
  const array = (values, shape) => np.array(values, { device, shape });
  const base = start.base.map((weight) => array(weight, [WIDTH, WIDTH]));
  const [features, expected] = [start.features, start.expected].map((rows) => array(rows, [ROWS, WIDTH]));
  let params = start.a.map((a) => [array(a, [RANK, WIDTH]), array(new Float32Array(WIDTH * RANK), [WIDTH, RANK])]);
  const step = jit((params, base, features, expected) => {
    const held = params.map((pair) => pair.map((values) => values.ref));
    const [value, gradients] = valueAndGrad(loss)(held, base, features, expected);
    return [value, params.map((pair, layer) => pair.map((values, of) => values.sub(gradients[layer][of].mul(LEARNING_RATE))))];
  });
  return async () => {
    const [value, next] = step(params, base.map((weight) => weight.ref), features.ref, expected.ref);
    params = next;
    const [read] = await value.data();
    // Its loss is there before its update has ended, which would go on within the next side's step.
    await blockUntilReady(params);
    return read;
  };
};

export const [jaxWebgpu, jaxWasm] = [on("webgpu"), on("wasm")];
