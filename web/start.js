// Starts the worker: loads its WebAssembly, and says so when that fails.
import load from "./worker.js";

load().catch((error) => {
  const reason = `the training code could not be loaded (${error}). It needs a browser with WebAssembly SIMD, as all have had since 2023`;
  postMessage(JSON.stringify({ message: "refused", reason }));
});
