// Starts the worker: loads its WebAssembly, and says so when that fails.
import "./early.js";
import load from "./worker.js";

load().catch((error) => {
  postMessage(JSON.stringify({ message: "refused", reason: unloaded("the training code", error) }));
});
