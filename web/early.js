// Until the page's program runs, nothing else can say why it does not.
addEventListener(
  "error",
  ({ message }) => {
    const status = document.getElementById("status");
    if (!status?.textContent.startsWith("Loading")) return;
    const why = message ? ` (${message})` : "";
    status.textContent = `The page's program could not be loaded${why}. It needs a browser with WebAssembly SIMD, as all have had since 2023.`;
  },
  true,
);
