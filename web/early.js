// Says why a program of WebAssembly could not be loaded, which it can't say itself. For the page, and for its worker.

// The smallest module with vectors (https://github.com/GoogleChromeLabs/wasm-feature-detect).
const VECTORS = [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11];

/** A sentence about a program that could not be loaded. */
globalThis.unloaded = (program, why) => {
  const able = globalThis.WebAssembly?.validate(new Uint8Array(VECTORS));
  const remedy = able
    ? "Its files did not arrive; reload the page when the network and the server are there"
    : "It needs a browser with WebAssembly SIMD, as all have had since 2023";
  return `${program} could not be loaded${why ? ` (${why})` : ""}. ${remedy}.`;
};

const tell = ({ message, reason, target }) => {
  const status = document.getElementById("status");
  const why = message ?? reason?.message;
  // The text that stands there until the program runs.
  if (status?.textContent === "Loading …" && (why || target.tagName === "SCRIPT")) {
    status.textContent = unloaded("The page's program", why);
  }
};
if (globalThis.document) {
  addEventListener("error", tell, true);
  addEventListener("unhandledrejection", tell);
}
