//! Nothing is lost: a sweep that was cut short, by a reload or by the loss of the GPU, goes on where it was.

use serde_json::Value;

use super::{assert_no_errors, play};

/// Long enough to be held up in the middle.
const LONG: &str = "?v=1&base=nano&learning_rates=1e-3,4e-3&seeds=1&batch_size=2&steps=STEPS&evaluate_every=0&validation_examples=8&device=";

/// The last word about every run.
const ENDS: &str = r#"
    const log = new TextDecoder().decode(new Uint8Array((await taken("jsonl")).bytes)).trim().split("\n").map(JSON.parse);
    const of = (kind) => log.filter(({ event }) => event === kind);
    const steps = of("step").map(({ cell, step, loss }) => [cell.scheme, cell.learning_rate, step, loss]);
    const ends = of("run_finished").map(({ result }) => [result.cell.scheme, result.cell.learning_rate, result.final_loss]);
    const counts = [of("started").length, of("base").length, of("finished").length];
"#;

#[test]
fn a_reload_goes_on_with_the_sweep_and_comes_to_the_same_end() {
    let query = LONG.replace("STEPS", "60") + "cpu";
    let scene = r#"
        await ready();
        press("run");
        await until(() => Number(text("pace").match(/^Step (\d+)/)?.[1] ?? 0) > 3);
        press("pause");
        await until(() => text("status").startsWith("Paused"));
        await new Promise((next) => setTimeout(next, 500));
        await open("");
        await ready();
        await until(() => !find("kept").hidden);
        const offered = text("kept-words");
        press("go-on");
        await until(() => text("status").startsWith("Going on"));
        const said = text("status");
        await done();
        ENDS
        const resumed = { steps, ends, counts };
        await open(QUERY);
        await ready();
        press("run");
        await done();
        const whole = await (async () => { ENDS; return { steps, ends, counts }; })();
        return { offered, said, counts: resumed.counts, number: resumed.steps.length, same: JSON.stringify(resumed) === JSON.stringify(whole) };
    "#;
    let report = play(&query, "", &scene.replace("QUERY", &format!("{query:?}")).replace("ENDS", ENDS));
    assert_no_errors(&report);
    let answer = &report["answer"];
    let number = |text: &str, before: &str| -> u64 {
        let digits =
            text.split(before).nth(1).map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
        digits.and_then(|digits| digits.parse().ok()).unwrap_or_else(|| panic!("{text}"))
    };
    let (offered, said) = (answer["offered"].as_str().unwrap_or_default(), answer["said"].as_str().unwrap_or_default());
    let step = number(offered, "kept after step ");
    assert!((1..60).contains(&step) && offered.contains("of 60"), "{offered}");
    assert_eq!(number(said, "Going on from step "), step);
    // Every step of every run was told once, and ended as one that was never interrupted, to the last digit.
    assert_eq!((answer["number"].as_u64(), &answer["same"]), (Some(4 * 60), &true.into()), "{answer:#}");
    assert_eq!(answer["counts"], serde_json::json!([1, 1, 1]));
}

#[test]
fn a_gpu_that_is_lost_is_said_and_the_sweep_goes_on() {
    let query =
        LONG.replace("STEPS", "12").replace("1e-3,4e-3", "4e-3").replace("batch_size=2", "batch_size=1") + "gpu";
    let scene = r#"
        // The worker that trains, to be told what no button tells.
        const { Worker } = frame.contentWindow;
        const post = Worker.prototype.postMessage;
        let worker = null;
        Worker.prototype.postMessage = function (message) {
          if (message.includes('"request":"train"')) worker = this;
          return post.call(this, message);
        };
        await ready();
        press("run");
        const said = [];
        new frame.contentWindow.MutationObserver(() => said.push(text("status"))).observe(find("status"), { childList: true });
        const building = [];
        new frame.contentWindow.MutationObserver(() => building.push(text("pace"))).observe(find("pace"), { childList: true });
        await until(() => /^Step [1-9]/.test(text("pace")));
        press("pause");
        await until(() => text("status").startsWith("Paused"));
        // The form is changed meanwhile, to another experiment.
        enter("f-steps", "50");
        enter("f-learning_rates", "[1e-3]");
        post.call(worker, '{"request":"lose"}');
        press("pause");
        await until(() => said.some((words) => words.includes("was lost")));
        await done();
        ENDS
        return { said, steps: steps.map(([, , step]) => step), ends, counts, building: building.some((words) => /^Compiling kernels for the GPU: \d+ of \d+/.test(words)) };
    "#;
    let report = play(&query, "", &scene.replace("ENDS", ENDS));
    assert_no_errors(&report);
    let answer = &report["answer"];
    let said = answer["said"].as_array().expect("a list");
    let says = |words: &str| said.iter().any(|said| said.as_str().is_some_and(|said| said.contains(words)));
    assert!(says("was lost") && says("Going on from step "), "{answer:#}");
    assert_eq!(answer["steps"].as_array().map(Vec::len), Some(2 * 12), "{answer:#}");
    assert!(answer["ends"].as_array().is_some_and(|ends| ends.iter().all(|end| end[2].is_f64()) && ends.len() == 2));
    assert_eq!(
        (&answer["counts"], &answer["building"]),
        (&serde_json::json!([1, 1, 1]), &Value::Bool(true)),
        "{answer:#}"
    );
}
