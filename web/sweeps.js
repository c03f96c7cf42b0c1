// Keeps sweeps in the browser's store, each under an id of its own: a row that says what there is of it, and parts, to which only what is new is added. All
// that one call brings is written in one transaction, so a tab that ends in the middle leaves the sweep as it was before.
//
// A tab holds a lock on the sweep that it shows, which the browser releases when the tab ends, however it does: a sweep without one is of an earlier visit.

/** Characters or bytes of a part; browsers refuse values above about 127 MiB. */
const LARGEST = 4 << 20;

/** Sweeps of earlier visits that stay when another begins; older ones are removed then, and all when there is no room. */
const STAY = 3;

/** Milliseconds for which a page that is just being left may still hold its lock. */
const LEAVING = 300;

/** The row of the sweep that this tab shows. */
let mine;

/** Parts of it that the store did not take, by their keys as JSON. */
const held = new Map();

/** Why no more of it is kept, empty if nobody wants it kept; it goes on in memory then. */
let unkept;

/** Gives back the lock on it. */
let release = () => {};

const opened = () =>
  new Promise((done, failed) => {
    const request = indexedDB.open("loralab", 2);
    request.onupgradeneeded = () => {
      const database = request.result;
      for (const name of [...database.objectStoreNames]) database.deleteObjectStore(name);
      database.createObjectStore("sweeps", { keyPath: "id" });
      database.createObjectStore("parts");
    };
    request.onsuccess = () => done(request.result);
    request.onerror = () => failed(request.error);
  });

/** Does something with the store, all of it or nothing, and waits until it is done. */
const transact = async (mode, act) => {
  const database = await opened();
  try {
    return await new Promise((done, failed) => {
      const transaction = database.transaction(["sweeps", "parts"], mode);
      transaction.onabort = () => failed(transaction.error ?? new Error("the browser broke off"));
      try {
        const request = act(transaction.objectStore("sweeps"), transaction.objectStore("parts"));
        transaction.oncomplete = () => done(request?.result);
      } catch (error) {
        failed(error);
        transaction.abort();
      }
    });
  } finally {
    database.close();
  }
};

/** The rows, the newest first. */
const rows = async () => (await transact("readonly", (sweeps) => sweeps.getAll())).sort((one, other) => other.at - one.at);

const remove = (ids) =>
  transact("readwrite", (sweeps, parts) => {
    for (const id of ids) {
      sweeps.delete(id);
      parts.delete(IDBKeyRange.bound([id], [id, []]));
    }
  });

const lock = (id) => `loralab ${id}`;

/** Whether no tab shows a sweep. Where there are no locks, nobody knows. */
const isFree = (id) =>
  id !== mine?.id &&
  (navigator.locks?.request(lock(id), { signal: AbortSignal.timeout(LEAVING) }, () => true).catch(() => false) ?? true);

/** Takes the lock on a sweep and gives back the last one; false if another tab has it. */
const own = (id) =>
  new Promise((told) => {
    const take = (found) => {
      told(found !== null);
      if (!found) return;
      release();
      return new Promise((end) => (release = end));
    };
    navigator.locks?.request(lock(id), { ifAvailable: true }, take).catch(() => told(true)) ?? told(true);
  });

/** Removes sweeps of earlier visits but the newest `stay`. */
const prune = async (stay) => {
  const ids = (await rows()).map(({ id }) => id);
  const free = await Promise.all(ids.map(isFree));
  await remove(ids.filter((_, place) => free[place]).slice(stay));
};

/** Why an error of the store's keeps a sweep from being kept. */
const reason = async (error) => {
  if (error?.name !== "QuotaExceededError") {
    return `the browser's store does not take it, as in some private windows (${error?.message ?? error})`;
  }
  const { usage, quota } = (await navigator.storage?.estimate().catch(() => {})) ?? {};
  const megabytes = (bytes) => `${Math.round(bytes / 1e6)} MB`;
  const taken = quota ? ` (${megabytes(usage)} of ${megabytes(quota)} are taken)` : "";
  return `the browser gives this page no more room${taken}`;
};

/** A value cut into parts, each with its key. */
const cut = (kind, number, value) => {
  const parts = [];
  for (let at = 0; at < value.length; at += LARGEST) {
    parts.push([[mine.id, kind, number, parts.length], value.slice(at, at + LARGEST)]);
  }
  return parts;
};

/** Writes the row, parts, and what of the parts is gone: of a kind, from a number to another. Gives back why they are not kept, if so. */
const write = async (added, gone) => {
  mine.at = Date.now();
  const act = (sweeps, parts) => {
    for (const [kind, from, to] of gone) {
      parts.delete(IDBKeyRange.bound([mine.id, kind, from], [mine.id, kind, to], false, true));
    }
    for (const [key, value] of added) parts.put(value, key);
    sweeps.put(mine);
  };
  if (unkept === undefined) {
    try {
      await transact("readwrite", act).catch(async () => {
        await prune(0);
        await transact("readwrite", act);
      });
      return undefined;
    } catch (error) {
      unkept = await reason(error);
    }
  }
  for (const key of [...held.keys()]) {
    const [, kind, number] = JSON.parse(key);
    if (gone.some(([of, from, to]) => of === kind && from <= number && number < to)) held.delete(key);
  }
  for (const [key, value] of added) held.set(JSON.stringify(key), value);
  return unkept;
};

/** Everything of a kind, in order: for each number its parts. */
const read = async (kind) => {
  const range = IDBKeyRange.bound([mine.id, kind], [mine.id, kind, []]);
  const found = [...held].map(([key, value]) => [JSON.parse(key), value]).filter(([key]) => key[1] === kind);
  try {
    let keys, values;
    await transact("readonly", (_, parts) => ([keys, values] = [parts.getAllKeys(range), parts.getAll(range)]));
    found.push(...keys.result.map((key, place) => [key, values.result[place]]));
  } catch (error) {
    // Where there is no store, all that there is has been found.
    if (unkept === undefined) throw error;
  }
  found.sort(([one], [other]) => one[2] - other[2] || one[3] - other[3]);
  const whole = new Map();
  for (const [[, , number], part] of found) whole.set(number, [...(whole.get(number) ?? []), part]);
  return [...whole.values()];
};

const texts = async (kind) => (await read(kind)).map((parts) => parts.join(""));

let last = Promise.resolve();
/** Does one thing after the other. */
const queued = (act) => (last = last.catch(() => {}).then(act));

export const sweeps = {
  /** A sweep begins, to be kept or, as one that comes from files, only held. */
  begin: (head, data, kept) =>
    queued(async () => {
      const id = `${Date.now()} ${Math.random()}`;
      await own(id);
      mine = { id, head, about: "", log: 0, adapters: 0, states: 0 };
      held.clear();
      unkept = kept ? undefined : "";
      // Without a store there is nothing to remove.
      if (kept) await prune(STAY).catch(() => {});
      return write(data === undefined ? [] : cut("data", 0, data), []);
    }),

  /** Adds what is new of it: lines of its log, adapters, and its state, a step and bytes; null for a state that is over. Gives back why it is not kept, if so. */
  add: (log, adapters, about, state) =>
    queued(() => {
      const added = log ? cut("log", mine.log++, log) : [];
      for (const adapter of adapters) added.push(...cut("adapter", mine.adapters++, adapter));
      if (state) {
        mine.state = { step: state[0], log: mine.log, adapters: mine.adapters };
        added.push(...cut("state", ++mine.states, state[1]));
      } else if (state === null) {
        delete mine.state;
      }
      mine.about = about;
      const gone = state === undefined ? [] : [["state", 0, state ? mine.states : Infinity]];
      return write(added, gone);
    }),

  /** The sweeps of earlier visits, the newest first: the id of each and what was said about it. */
  kept: () =>
    queued(async () => {
      const all = await rows();
      const free = await Promise.all(all.map(({ id }) => isFree(id)));
      return all.filter((_, place) => free[place]).map(({ id, about }) => [id, about]);
    }),

  /** All of a sweep, which this tab then shows; undefined if it is gone, or another tab shows it. Without an id, that which it shows already. If it is to go
      on, it is as its last state has it: what was told afterwards will be told again. */
  take: (id, goesOn) =>
    queued(async () => {
      if (id !== undefined && id !== mine?.id) {
        const row = await transact("readonly", (sweeps) => sweeps.get(id));
        if (!row || !(await own(id))) return undefined;
        [mine, unkept] = [row, undefined];
        held.clear();
      }
      const { log, adapters, step } = mine.state ?? mine;
      if (goesOn) {
        Object.assign(mine, { log, adapters });
        await write([], [["log", log, Infinity], ["adapter", adapters, Infinity]]);
      }
      const state = goesOn ? new Uint8Array(await new Blob((await read("state"))[0] ?? []).arrayBuffer()) : undefined;
      return [mine.head, (await texts("data"))[0], await texts("log"), await texts("adapter"), step, state];
    }),

  forget: (id) => queued(() => remove([id])),

  /** The log of the sweep that is shown. */
  log: () => queued(() => texts("log")),
};
