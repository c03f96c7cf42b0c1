// The service worker: a tab that has been loaded goes on without a network. What is asked for comes from the network while there is one, so that nobody is
// kept on an old page, and else from what was kept when the page was first opened. `cargo xtask web --release` writes the names of its files here.
const FILES = [];
const VERSION = "";

const NAME = `loralab-${VERSION}`;

addEventListener("install", (event) => {
  const keep = async () => {
    await (await caches.open(NAME)).addAll(FILES);
    await skipWaiting();
  };
  event.waitUntil(keep());
});

addEventListener("activate", (event) => {
  const begin = async () => {
    const old = (await caches.keys()).filter((name) => name.startsWith("loralab-") && name !== NAME);
    await Promise.all(old.map((name) => caches.delete(name)));
    await clients.claim();
  };
  event.waitUntil(begin());
});

addEventListener("fetch", (event) => {
  const { request } = event;
  if (request.method !== "GET") return;
  // The query is the page's own business: an experiment, a device.
  const wanted = request.mode === "navigate" ? "index.html" : request;
  const kept = async (failure) =>
    (await caches.match(wanted, { ignoreSearch: true, cacheName: NAME })) ?? Promise.reject(failure);
  event.respondWith(fetch(request).catch(kept));
});
