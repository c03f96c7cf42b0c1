// What the page's program can't say: why it does not run yet, or can't go on.
const tell = ({ message, reason }) => {
  const status = document.getElementById("status");
  const why = message ?? reason?.message;
  if (why?.includes("the rest of the program")) {
    status.textContent = `Not done: ${why.replace(/^Uncaught Error: /, "")}; reload the page.`;
  } else if (status?.textContent.startsWith("Loading")) {
    status.textContent = `The page's program could not be loaded${why ? ` (${why})` : ""}. It needs a browser with WebAssembly SIMD, as all have had since 2023.`;
  }
};
addEventListener("error", tell, true);
addEventListener("unhandledrejection", tell);
