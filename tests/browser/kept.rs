//! Sweeps that the browser keeps between visits: in pieces, one for each tab; and the message if nothing can be kept.

use serde_json::json;

use super::{assert_no_errors, play};

/// A sweep of moments.
const SMALL: &str =
    "?v=1&base=nano&learning_rates=4e-3&seeds=1&steps=3&batch_size=2&evaluate_every=0&validation_examples=8&device=cpu";

/// Tells of every value that is put into the store of the page.
const WATCH: &str = r#"
    const put = [];
    const watch = () => {
        const { IDBObjectStore } = frame.contentWindow;
        const real = IDBObjectStore.prototype.put;
        IDBObjectStore.prototype.put = function (value, ...key) {
            put.push(value.length ?? JSON.stringify(value).length);
            return real.call(this, value, ...key);
        };
    };
"#;

#[test]
fn a_sweep_of_any_size_is_kept_and_only_what_is_new_is_written() {
    let scene = r#"
        WATCH
        await ready();
        watch();
        const sum = (list) => list.reduce((all, one) => all + one, 0);
        const told = [];
        const saved = async (act) => {
            put.length = 0;
            told.push(await act(frame.contentWindow.loralab));
            return { bytes: sum(put), largest: Math.max(0, ...put) };
        };
        const about = JSON.stringify({ schemes: ["init-a"], runs: 2, steps: 9, complete: null, snapshot: 3 });
        // The page's own bytes: more than a value of the store may have, which is 127 MiB.
        const state = new frame.contentWindow.Uint8Array(140 << 20);
        state[(140 << 20) - 1] = 7;
        const begun = await saved((kept) => kept.begin("{}", "a text", true));
        const first = await saved((kept) => kept.add("1\n".repeat(3 << 20), ["[1]"], about, [3, state]));
        const second = await saved((kept) => kept.add("2\n", [], about, undefined));
        const third = await saved((kept) => kept.add("3\n", ["[2]"], about, undefined));
        await open("");
        await ready();
        await until(() => !find("kept").hidden);
        const offered = text("kept-words");
        const { loralab } = frame.contentWindow;
        const [[id]] = await loralab.kept();
        const [head, data, log, adapters, step, bytes] = await loralab.take(id, true);
        const after = (await loralab.log()).join("").length;
        return {
            told, begun, first, second, third, offered, head, data, adapters, step, after,
            log: log.join("").length, bytes: bytes.length, last: bytes[bytes.length - 1],
        };
    "#;
    let report = play("?v=1&device=cpu", "", &scene.replace("WATCH", WATCH));
    assert_no_errors(&report);
    let answer = &report["answer"];
    assert_eq!(answer["told"], json!([null, null, null, null]), "{answer:#}");
    // None is near what the store takes, and what is small costs little.
    let number = |what: &str, of: &str| answer[what][of].as_u64().unwrap_or(u64::MAX);
    assert!(number("first", "largest") <= 4 << 20 && number("first", "bytes") > 146 << 20, "{answer:#}");
    assert!(number("second", "bytes") < 1000 && number("third", "bytes") < 1000, "{answer:#}");
    // It goes on from its state: what was told afterwards will be told again.
    assert_eq!(
        (&answer["head"], &answer["data"], &answer["adapters"]),
        (&json!("{}"), &json!("a text"), &json!(["[1]"]))
    );
    assert_eq!((&answer["log"], &answer["after"]), (&json!(6 << 20), &json!(6 << 20)), "{answer:#}");
    assert_eq!((&answer["step"], &answer["bytes"], &answer["last"]), (&json!(3), &json!(140 << 20), &json!(7)));
    let offered = answer["offered"].as_str().unwrap_or_default();
    assert!(offered.contains("(init-a; 2 runs, cut short, and kept after step 3 of 9)"), "{answer:#}");
}

#[test]
fn each_tab_keeps_its_own_sweep_and_takes_none_that_another_shows() {
    let scene = r#"
        await ready();
        press("run");
        await until(() => Number(text("pace").match(/^Step (\d+)/)?.[1] ?? 0) > 1);
        press("pause");
        await until(() => text("status").startsWith("Paused"));
        await new Promise((next) => setTimeout(next, 500));

        // Another tab of the same browser.
        const other = document.createElement("iframe");
        other.src = `/index.html${SMALL}`;
        document.body.append(other);
        const inside = (id) => other.contentDocument.getElementById(id);
        await until(() => inside("status")?.textContent === "Ready.");
        await new Promise((next) => setTimeout(next, 1000));
        const seen = inside("kept").hidden;
        const taken = await other.contentWindow.loralab.kept();
        other.contentDocument.querySelector('[data-do="run"]').click();
        await until(() => inside("status").textContent.startsWith("Done"));
        await new Promise((next) => setTimeout(next, 500));

        // The first is closed, and opened again: it finds its own, though the other's is newer.
        await open("");
        await ready();
        await until(() => !find("kept").hidden);
        const own = text("kept-words");
        press("go-on");
        await until(() => text("status").startsWith("Going on"));
        press("stop");
        await until(() => text("status") === "Stopped.");
        // Then both are.
        other.remove();
        await open("");
        await ready();
        await until(() => !find("kept").hidden);
        const both = await frame.contentWindow.loralab.kept();
        const left = text("kept-words");
        press("forget");
        await until(() => find("kept").hidden);
        const after = await frame.contentWindow.loralab.kept();
        return { seen, taken: taken.length, own, both: both.length, left, after: after.length };
    "#;
    let query = SMALL.replace("steps=3", "steps=500").replace("4e-3", "1e-3,4e-3");
    let report = play(&query, "", &scene.replace("SMALL", &format!("{SMALL:?}")));
    assert_no_errors(&report);
    let answer = &report["answer"];
    assert_eq!(
        (&answer["seen"], &answer["taken"], &answer["both"]),
        (&json!(true), &json!(0), &json!(2)),
        "{answer:#}"
    );
    assert_eq!(answer["after"], 1, "{answer:#}");
    let says = |what: &str, words: &str| answer[what].as_str().is_some_and(|text| text.contains(words));
    assert!(says("own", "4 runs, cut short, and kept after step "), "{answer:#}");
    assert!(says("left", "init-a, init-b; 2 runs, done"), "{answer:#}");
}

#[test]
fn the_oldest_sweeps_make_room() {
    let report = play(
        "?v=1&device=cpu",
        "",
        r#"
        await ready();
        const about = (steps) => JSON.stringify({ schemes: ["init-a"], runs: 2, steps, complete: true, snapshot: null });
        for (let n = 1; n <= 6; n += 1) {
            const { loralab } = frame.contentWindow;
            await loralab.begin("{}", undefined, true);
            await loralab.add("x", [], about(n), undefined);
        }
        await open("");
        await ready();
        const kept = (await frame.contentWindow.loralab.kept()).map(([, about]) => JSON.parse(about).steps);
        const parts = await new Promise((done) => {
            const request = indexedDB.open("loralab");
            request.onsuccess = () => {
                const count = request.result.transaction("parts").objectStore("parts").count();
                count.onsuccess = () => (request.result.close(), done(count.result));
            };
        });
        return { kept, parts };
        "#,
    );
    assert_no_errors(&report);
    // The one that was shown last, and three before it; nothing is left of the others.
    assert_eq!(report["answer"], json!({ "kept": [6, 5, 4, 3], "parts": 4 }));
}

#[test]
fn what_cannot_be_kept_is_said_and_can_still_be_taken() {
    for (spoil, said) in [
        (
            r#"frame.contentWindow.IDBObjectStore.prototype.put = () => {
                throw new DOMException("The quota has been exceeded.", "QuotaExceededError");
            };"#,
            "the browser gives this page no more room (",
        ),
        (
            r#"Object.defineProperty(frame.contentWindow, "indexedDB", { value: undefined });"#,
            "the browser's store does not take it, as in some private windows",
        ),
    ] {
        let scene = r#"
            await ready();
            const before = find("unkept").hidden;
            SPOIL
            press("run");
            await done();
            const log = new TextDecoder().decode(new Uint8Array((await taken("jsonl")).bytes)).trim().split("\n");
            return { before, said: text("unkept"), shown: !find("unkept").hidden, events: log.map((line) => JSON.parse(line).event) };
        "#;
        let report = play(SMALL, "", &scene.replace("SPOIL", spoil));
        assert_no_errors(&report);
        let answer = &report["answer"];
        assert_eq!((&answer["before"], &answer["shown"]), (&json!(true), &json!(true)), "{answer:#}");
        let text = answer["said"].as_str().unwrap_or_default();
        assert!(text.contains("is not kept for another visit: ") && text.contains(said), "{answer:#}");
        let events = answer["events"].as_array().expect("a list");
        assert_eq!((events.first(), events.last()), (Some(&json!("started")), Some(&json!("finished"))), "{answer:#}");
    }
}

#[test]
fn a_sweep_under_way_writes_only_what_is_new() {
    let scene = r#"
        WATCH
        await ready();
        watch();
        press("run");
        await done();
        await new Promise((next) => setTimeout(next, 500));
        const log = (await taken("jsonl")).bytes.length;
        return { log, puts: put.length, bytes: put.reduce((all, one) => all + one, 0), states: put.filter((one) => one > 1e5).length };
    "#;
    let query = "?v=1&base=nano&learning_rates=1e-3,4e-3&seeds=1&steps=400&batch_size=2&evaluate_every=20&diagnose_every=2&validation_examples=8&device=cpu";
    let report = play(query, "", &scene.replace("WATCH", WATCH));
    assert_no_errors(&report);
    let answer = &report["answer"];
    println!("written for a log of so many bytes: {answer:#}");
    let number = |what: &str| answer[what].as_u64().unwrap_or(u64::MAX);
    // The log once, and a few states and adapters, which are not that large; whole, it would be written again and again.
    assert!(number("log") > 2_000_000 && number("bytes") < 3 * number("log"), "{answer:#}");
}
