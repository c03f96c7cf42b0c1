// TF.js's side, with its own optimiser.
const { tf } = globalThis;

const [LAYERS, WIDTH, ROWS, RANK, SCALE, LEARNING_RATE] = [4, 512, 1024, 8, 2, 0.5];

export const tfWebgpu = async (start) => {
  if (!(await tf.setBackend("webgpu"))) throw "TF.js finds no WebGPU";
  await tf.ready();
  const base = start.base.map((weight) => tf.tensor2d(weight, [WIDTH, WIDTH]));
  const [features, expected] = [start.features, start.expected].map((rows) => tf.tensor2d(rows, [ROWS, WIDTH]));
  const params = start.a.map((a) => [tf.variable(tf.tensor2d(a, [RANK, WIDTH])), tf.variable(tf.zeros([WIDTH, RANK]))]);
  const loss = () => {
    let x = features;
    for (let layer = 0; layer < LAYERS; layer += 1) {
      if (layer > 0) x = x.relu();
      const [a, b] = params[layer];
      x = x.matMul(base[layer], false, true).add(x.matMul(a, false, true).matMul(b, false, true).mul(SCALE));
    }
    return x.sub(expected).square().mean();
  };
  const optimizer = tf.train.sgd(LEARNING_RATE);
  return async () => {
    const value = optimizer.minimize(loss, true, params.flat());
    const [read] = await value.data();
    // As with jax-js: until the last of the updates is there.
    await params.at(-1)[1].data();
    value.dispose();
    return read;
  };
};
