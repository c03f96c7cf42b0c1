// Work that takes a few lines here and pages of bindings elsewhere: the browser's store, downloads, a chart as pixels, files.
// The page's program finds it as `loralab`.
import { sweeps } from "./sweeps.js";

const download = (name, type, data) => {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(data instanceof Blob ? data : new Blob([data], { type }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
};

/** Draws a figure's SVG, which has a handful of shapes only: an image of it would need a source that the page's policy forbids. */
const paint = (svg, context) => {
  const number = (shape, name) => Number(shape.getAttribute(name) ?? 0);
  for (const shape of svg.children) {
    const [fill, stroke] = ["fill", "stroke"].map((name) => shape.getAttribute(name) ?? "none");
    context.save();
    context.globalAlpha = Number(shape.getAttribute("opacity") ?? 1);
    context.fillStyle = fill;
    context.strokeStyle = stroke;
    context.lineWidth = Number(shape.getAttribute("stroke-width") ?? 1);
    const path = new Path2D();
    if (shape.tagName === "rect") {
      path.rect(number(shape, "x"), number(shape, "y"), number(shape, "width"), number(shape, "height"));
    } else if (shape.tagName === "circle") {
      path.arc(number(shape, "cx"), number(shape, "cy"), number(shape, "r"), 0, 2 * Math.PI);
    } else if (shape.tagName === "polyline" || shape.tagName === "polygon") {
      for (const point of shape.getAttribute("points").trim().split(/\s+/)) path.lineTo(...point.split(",").map(Number));
      if (shape.tagName === "polygon") path.closePath();
    } else if (shape.tagName === "text") {
      const size = number(shape, "font-size");
      context.font = `${shape.getAttribute("font-weight") ?? ""} ${size}px ${shape.getAttribute("font-family")}`;
      context.textAlign = { middle: "center", end: "right" }[shape.getAttribute("text-anchor")] ?? "left";
      context.translate(number(shape, "x"), number(shape, "y"));
      if (shape.getAttribute("transform")?.startsWith("rotate(270")) context.rotate(-Math.PI / 2);
      // An ex is about half an em.
      const [, shift, unit] = (shape.getAttribute("dy") ?? "0em").match(/([\d.]+)(\w+)/);
      context.fillText(shape.textContent.trim(), 0, shift * size * (unit === "ex" ? 0.52 : 1));
    }
    if (fill !== "none" && shape.tagName !== "text") context.fill(path);
    if (stroke !== "none") context.stroke(path);
    context.restore();
  }
};

globalThis.loralab = {
  ...sweeps,
  download,
  saveLog: async () => download("metrics.jsonl", "application/jsonl", new Blob(await sweeps.log())),
  png: async (svg, name) => {
    const canvas = document.createElement("canvas");
    const { width, height } = svg.viewBox.baseVal;
    // Half the size that the figure is measured in is twice its size on screen.
    [canvas.width, canvas.height] = [width / 2, height / 2];
    const context = canvas.getContext("2d");
    context.scale(0.5, 0.5);
    paint(svg, context);
    download(name, "image/png", await new Promise((done) => canvas.toBlob(done)));
  },
  keepOffline: () => navigator.serviceWorker?.register("offline.js").catch(() => {}),
  copy: (text) => navigator.clipboard.writeText(text),
  read: async (files) => {
    // The adapters of a results folder are of no use here; a base comes alone.
    const wanted = [...files].filter(({ name }) => /\.(txt|md|jsonl|json|toml|csv)$/i.test(name) || files.length === 1);
    const content = async (file) =>
      file.name.endsWith(".safetensors") ? new Uint8Array(await file.arrayBuffer()) : file.text();
    return Promise.all(wanted.map(async (file) => [file.webkitRelativePath || file.name, await content(file)]));
  },
};
