//! A text of one's own is learnt as what it is.

use serde_json::json;

use super::{assert_no_errors, play};

#[test]
fn pasted_lines_of_json_are_examples_and_a_text_over_them_is_a_text() {
    let report = play(
        "?v=1&base=nano&schemes=init-a&learning_rates=4e-3&seeds=1&batch_size=2&steps=1&validation_examples=8&device=cpu",
        "",
        r#"
        await ready();
        const lines = [...Array(40).keys()].map((n) => JSON.stringify({ prompt: `${n}+1=`, completion: `${n + 1}` })).join("\n");
        const plain = "the cat sat on the mat and the dog sat on the log. ".repeat(30);
        const learnt = async () => {
          press("run");
          await until(() => /^(Done|Not done)/.test(text("status")));
          return [text("status").replace(/ in .*/, ""), text("own-name"), new URLSearchParams(address()).get("data"), cells("schemes")[0][4]];
        };
        enter("f-task", "own-text");
        enter("own-text", lines, "input");
        const pasted = await learnt();
        enter("own-text", plain, "input");
        const typed = await learnt();
        choose("own-file", { "sums.jsonl": lines });
        await until(() => text("own-name") === "sums.jsonl");
        const chosen = await learnt();
        enter("own-text", plain, "input");
        const over = await learnt();
        // The form, made anew, goes on with it.
        find("f-optimizer").value = "sgd";
        enter("f-optimizer", "sgd");
        const again = await learnt();
        return { pasted, typed, chosen, over, again };
        "#,
    );
    assert_no_errors(&report);
    let answer = &report["answer"];
    let learnt = |name: &str, what: &str| json!(["Done", name, name, what]);
    assert_eq!(answer["pasted"], learnt("mine.jsonl", "exact match"));
    assert_eq!(answer["typed"], learnt("mine.txt", "token accuracy"));
    assert_eq!(answer["chosen"], learnt("sums.jsonl", "exact match"));
    assert_eq!(answer["over"], learnt("sums.txt", "token accuracy"));
    assert_eq!(answer["again"], learnt("sums.txt", "token accuracy"));
}
