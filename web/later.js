// Brings the half of a module that it begins without, which `cargo xtask` cuts off: compiled once the first half runs; or at once, if one of its functions is
// called before. WebAssembly can't await, so everything stands still then; and a window gets no bytes in that way, only characters, one for each.

const read = (address) => {
  const request = new XMLHttpRequest();
  request.open("GET", address, false);
  request.overrideMimeType("text/plain; charset=x-user-defined");
  try {
    request.send();
  } catch {
    // It has the status 0.
  }
  if (request.status !== 200) throw new Error(`the rest of the program could not be fetched (status ${request.status})`);
  return new WebAssembly.Module(Uint8Array.from(request.responseText, (byte) => byte.charCodeAt(0)));
};

/** What the first half imports; `first` gives its exports. */
export const later = (address, first) => {
  let module;
  const compile = async () => {
    const response = await fetch(address, { priority: "low" });
    if (response.ok) module = await WebAssembly.compile(await response.arrayBuffer());
  };
  // A tab that was loaded before has it, maybe without a network, in which case a call could not bring it: the service worker is not asked then.
  const whole = async () => {
    if (await globalThis.caches?.match(address)) await compile();
  };
  // Whatever is wrong is told by `load`.
  const pass = () => {};
  return {
    load: () => {
      new WebAssembly.Instance(module ?? read(address), { first: first() });
    },
    ready: whole().catch(pass),
    begun: (exports) => {
      if (!module) compile().catch(pass);
      return exports;
    },
  };
};
