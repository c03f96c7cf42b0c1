//! `eval`: the losses that a sweep has, of models that are evaluated together, and answers that are written.

use serde_json::Value;

use loralab_experiment::Event;

use super::Place;

fn sums(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|i| format!("{{\"prompt\": \"{i}+1=\", \"completion\": \"{}\"}}\n", i + 1)).collect()
}

fn evaluated(place: &Place, flags: &[&str]) -> Value {
    let said = place.succeed(&[&["eval", "--json"], flags].concat()).stdout;
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{said}: {error}"))
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no number"))
}

#[track_caller]
fn close(one: f64, other: f64) {
    assert!((one - other).abs() <= 1e-6 * other.abs(), "{one} is not {other}");
}

/// A sweep on nano, validated with `held.jsonl`, and the folders of its adapters.
fn swept(place: &Place) -> [String; 2] {
    place.write("train.jsonl", sums(0..40));
    place.write("held.jsonl", sums(100..107));
    let data = ["--data", "train.jsonl", "--validation", "held.jsonl", "--tokens", "16"];
    let grid = ["--schemes", "init-a,init-b", "--learning-rates", "2e-2", "--seeds", "1", "--quiet"];
    let length = ["--steps", "10", "--batch-size", "4"];
    place.succeed(&[&["sweep", "--base", "nano", "--rank", "4"], &data[..], &grid, &length].concat());
    ["init-a", "init-b"].map(|scheme| format!("results/adapters/{scheme}_lr2e-2_seed0"))
}

/// A sweep whose runs write answers with a mark has the exact match of `eval`; without the flag whole answers are compared.
#[test]
fn a_sweep_compares_the_numbers_that_are_written() {
    let place = Place::new();
    // The number is always the same, and a word before it is there or not.
    let answer = |i: usize| ["so #### 7", "#### 7"][i % 2];
    let line = |i: usize| format!("{{\"question\": \"{i}?\", \"answer\": \"{}\"}}\n", answer(i));
    place.write("train.jsonl", (0..40).map(line).collect::<String>());
    place.write("held.jsonl", (100..112).map(line).collect::<String>());
    // The shipped bases know no digits.
    let text: String = (0..2000).map(|i| format!("Question: {}?\nAnswer: {}\n", i % 200, answer(i))).collect();
    place.write("text.txt", text);
    let length = ["--steps", "120", "--batch-size", "8", "--tokens", "48", "--learning-rate", "1e-2"];
    let pretrain = ["pretrain", "--size", "nano", "--data", "text.txt", "--output", "base.safetensors"];
    place.succeed(&[&pretrain[..], &length].concat());
    let data = ["--base", "base.safetensors", "--data", "train.jsonl", "--validation", "held.jsonl", "--tokens", "48"];
    let grid = ["--schemes", "init-a,init-b", "--learning-rates", "1e-3", "--seeds", "1", "--steps", "2"];
    let sweep = |output: &str, more: &[&str]| {
        let outcome = place.succeed(&[&["sweep", "--output", output], &data[..], &grid, more].concat());
        (outcome, place.json(&format!("{output}/summary.json")))
    };
    let (told, plain) = sweep("plain", &[]);
    assert!(told.stderr.contains("`--exact-match N` asks for N of them"), "{}", told.stderr);
    let (_, asked) = sweep("asked", &["--exact-match", "12"]);
    let folders = ["init-a", "init-b"].map(|scheme| format!("asked/adapters/{scheme}_lr1e-3_seed0"));
    let held = ["--base", "base.safetensors", "--data", "held.jsonl", "--exact-match", "12"];
    let of_eval = evaluated(&place, &[&held[..], &["--adapter", &folders[0], "--adapter", &folders[1]]].concat());
    let models = of_eval["models"].as_array().expect("a list");
    assert_eq!(models[0]["exact_match"], asked["base_accuracy"]);
    let schemes = |summary: &Value| summary["schemes"].as_array().expect("a list").clone();
    for (model, (asked, plain)) in models[1..].iter().zip(schemes(&asked).iter().zip(&schemes(&plain))) {
        assert_eq!(model["exact_match"], asked["best_accuracy"]);
        assert_eq!(asked["best_loss"], plain["best_loss"]);
        let [asked, plain] = [asked, plain].map(|scheme| number(&scheme["best_accuracy"]));
        assert!(asked > 0.9 && plain < 0.7, "the number is known, the word before it is not: {asked}, {plain}");
    }
    place.write("sums.jsonl", sums(0..40));
    let flags = ["sweep", "--base", "nano", "--data", "sums.jsonl", "--exact-match", "4", "--tokens", "16"];
    place.refuse(&flags, 2, &["these data have none"]);
}

#[test]
fn a_sweep_and_an_evaluation_tell_the_same() {
    let place = Place::new();
    let [a, b] = swept(&place);
    let summary = place.json("results/summary.json");
    let data = ["--base", "nano", "--data", "held.jsonl"];
    let together = evaluated(&place, &[&data[..], &["--adapter", &a, "--adapter", &b]].concat());
    let models = together["models"].as_array().expect("a list");
    assert_eq!(
        models.iter().map(|model| model["name"].as_str()).collect::<Vec<_>>(),
        [Some("nano"), Some(&*a), Some(&*b)]
    );
    close(number(&models[0]["loss"]), number(&summary["base_loss"]));
    for (model, scheme) in models[1..].iter().zip(summary["schemes"].as_array().expect("a list")) {
        for (here, there) in
            [("loss", "best_loss"), ("perplexity", "best_perplexity"), ("bits_per_byte", "best_bits_per_byte")]
        {
            close(number(&model[here]), number(&scheme[there]));
        }
        assert_eq!(model["exact_match"], scheme["best_accuracy"]);
    }
    // Seven sums of four bytes each, with the newline that ends them.
    assert_eq!((&together["examples"], &together["tokens"], &together["bytes"]), (&7.into(), &28.into(), &28.into()));
    assert_eq!(together["answers"], 7);

    // These follow from the loss: a token is a byte here.
    for model in models {
        close(number(&model["perplexity"]), number(&model["loss"]).exp());
        close(number(&model["bits_per_byte"]), number(&model["loss"]) / std::f64::consts::LN_2);
    }
    let events = place.events("results/metrics.jsonl");
    let texts: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Base { loss, text, .. } | Event::Evaluation { loss, text, .. } => {
                Some((loss.expect("finite"), *text))
            }
            _ => None,
        })
        .collect();
    assert_eq!(texts.len(), 3);
    for (loss, text) in texts {
        close(text.perplexity.expect("a perplexity"), loss.exp());
        close(text.bits_per_byte.expect("bits"), loss / std::f64::consts::LN_2);
    }

    // Alone, in other batches and with more padding, an adapter has the same loss, and exactly the same alone and beside others.
    let alone = evaluated(&place, &[&data[..], &["--adapter", &b]].concat());
    assert_eq!(alone["models"][1], together["models"][2]);
    let other = evaluated(&place, &[&data[..], &["--adapter", &b, "--batch-size", "3", "--tokens", "20"]].concat());
    close(number(&other["models"][1]["loss"]), number(&alone["models"][1]["loss"]));
    // The adapter remembers its base.
    let own = evaluated(&place, &["--adapter", &b, "--data", "held.jsonl"]);
    assert_eq!(own["models"], alone["models"]);
    let few = evaluated(&place, &[&data[..], &["--examples", "2"]].concat());
    assert_eq!((&few["examples"], &few["tokens"]), (&2.into(), &8.into()));

    let table = place.succeed(&[&["eval"], &data[..], &["--adapter", &a]].concat()).stdout;
    let rows: Vec<&str> = table.lines().collect();
    assert!(
        rows[0].starts_with("model") && rows[0].ends_with("loss  perplexity  bits/byte  token accuracy  exact match"),
        "{table}"
    );
    assert!(rows[2].starts_with("nano") && rows[3].starts_with(&a), "{table}");
    assert!(table.contains("7 examples of 28 tokens (28 bytes); the answers of 7 are compared."), "{table}");
}

#[test]
fn a_text_and_a_task_are_evaluated_too() {
    let place = Place::new();
    place.write("words.txt", "the cat sat on the mat and the dog sat on the log. ".repeat(20));
    let text = evaluated(&place, &["--base", "nano", "--data", "words.txt", "--tokens", "32", "--limit", "5"]);
    assert_eq!((&text["examples"], &text["tokens"], &text["answers"]), (&5.into(), &160.into(), &Value::Null));
    assert_eq!(text["models"][0]["exact_match"], Value::Null);
    let task = evaluated(&place, &["--base", "nano", "--task", "questions", "--limit", "8"]);
    assert!(number(&task["models"][0]["token_accuracy"]) > 0.1, "{task}");
}

/// A decoder whose layers add nothing, so that the byte after each is the one whose row it is most alike: `q` is followed by `7`, that by a newline.
fn answering() -> Vec<u8> {
    super::generate::base(|name, row, column| {
        let rows = [(b'q', [1.0, 0.0]), (b'7', [2.0, 5.0]), (b'\n', [0.0, 10.0])];
        match name {
            "model.embed_tokens.weight" => rows
                .iter()
                .find(|(byte, _)| usize::from(*byte) == row)
                .map_or(0.0, |(_, row)| *row.get(column).unwrap_or(&0.0)),
            _ if name.ends_with("norm.weight") => 1.0,
            _ => 0.0,
        }
    })
}

#[test]
fn answers_are_written_and_compared() {
    let place = Place::new();
    place.write("base.safetensors", answering());
    let record =
        |prompt: &str, completion: &str| format!("{{\"prompt\": \"{prompt}q\", \"completion\": \"{completion}\"}}\n");
    place.write("four.jsonl", [record("a", "7"), record("b", "8"), record("c", "7"), record("d", "77")].concat());
    let data = ["--base", "base.safetensors", "--data", "four.jsonl"];
    for flags in [&[][..], &["--exact-match", "4"], &["--exact-match", "99", "--batch-size", "3"]] {
        let told = evaluated(&place, &[&data[..], flags].concat());
        assert_eq!((&told["models"][0]["exact_match"], &told["answers"]), (&0.5.into(), &4.into()), "{flags:?}");
    }
    let two = evaluated(&place, &[&data[..], &["--exact-match", "2"]].concat());
    assert_eq!(
        (&two["answers"], &two["models"][0]["exact_match"]),
        (&2.into(), &1.0.into()),
        "the first and the third"
    );
    // One token is no whole answer, but its text is right.
    let short = evaluated(&place, &[&data[..], &["--exact-match", "4", "--count", "1"]].concat());
    assert_eq!(short["models"][0]["exact_match"], 0.5);
}

/// A base that has learnt one answer by heart: of what it reasons, the number counts.
#[test]
fn of_a_reasoned_answer_the_number_is_compared() {
    let place = Place::new();
    let learnt = ["a", "b", "c", "d"].map(|question| format!("Question: {question}\nAnswer: So.\n#### 1,204\n"));
    place.write("learnt.txt", learnt.concat().repeat(40));
    let sizes = ["--layers", "1", "--width", "32", "--heads", "2", "--kv-heads", "1", "--feed-forward", "48"];
    let length = ["--tokens", "64", "--batch-size", "4", "--steps", "150", "--learning-rate", "1e-2", "--quiet"];
    let files = ["--data", "learnt.txt", "--output", "learnt.safetensors"];
    place.succeed(&[&["pretrain"], &sizes[..], &length, &files].concat());
    let record = |question: &str, answer: &str| format!("{{\"question\": \"{question}\", \"answer\": \"{answer}\"}}\n");
    let held =
        [record("a", "1000 + 204 = 1204\\n#### 1204"), record("b", "So.\\n#### 1,205"), record("c", "#### $1,204.")];
    place.write("held.jsonl", held.concat());
    let asked = ["--base", "learnt.safetensors", "--data", "held.jsonl", "--exact-match", "3"];
    let told = evaluated(&place, &asked);
    assert_eq!(told["models"][0]["exact_match"], 2.0 / 3.0, "{told}");
    // Unless they are written, such answers are not compared.
    let unasked = evaluated(&place, &asked[..4]);
    assert_eq!((&unasked["answers"], &unasked["models"][0]["exact_match"]), (&Value::Null, &Value::Null));
    let noted = place.succeed(&[&["eval"], &asked[..4]].concat()).stderr;
    assert!(noted.contains("`--exact-match"), "{noted}");
}

/// SmolLM2 on the first questions of GSM8K, where both are at hand: the numbers of transformers, which `tests/fixtures/make_eval.py` wrote.
#[test]
fn a_real_model_has_the_measures_of_transformers() {
    let Some(questions) = super::data::real("gsm8k/test.jsonl") else { return };
    let home = || std::env::home_dir().map(|home| home.join(".cache/loralab-models"));
    let models = std::env::var_os("LORALAB_MODELS").map(std::path::PathBuf::from).or_else(home).expect("a home");
    let model = models.join("smollm2-135m");
    if !model.join("config.json").exists() {
        println!("SKIPPED: there is no {}; LORALAB_MODELS names another folder", model.display());
        return;
    }
    let expected: Value = serde_json::from_str(include_str!("../fixtures/eval.json")).expect("JSON");
    let place = Place::new();
    let text = std::fs::read_to_string(questions).expect("the questions");
    let count = expected["examples"].as_u64().expect("a number") as usize;
    place.write("few.jsonl", text.lines().take(count).map(|line| format!("{line}\n")).collect::<String>());
    let told = evaluated(&place, &["--model", &model.display().to_string(), "--data", "few.jsonl"]);
    assert_eq!((&told["tokens"], &told["bytes"]), (&expected["tokens"], &expected["bytes"]));
    for name in ["loss", "bits_per_byte", "token_accuracy"] {
        let (found, wanted) = (number(&told["models"][0][name]), number(&expected[name]));
        assert!((found - wanted).abs() <= 1e-5 * wanted, "{name}: {found} is not {wanted}");
    }
    assert_eq!(told["models"][0]["exact_match"], Value::Null);
}

#[test]
fn what_cannot_be_evaluated_is_refused() {
    let place = Place::new();
    place.write("held.jsonl", sums(0..5));
    place.write("words.txt", "the cat sat on the mat. ".repeat(20));
    place.write("bad.jsonl", "{\"prompt\": \"1\"}\n");
    place.succeed(&["init", "init-a", "--base", "tiny", "-o", "start"]);
    for (flags, code, words) in [
        (&["--base", "nano"][..], 2, &["--data"][..]),
        (&["--base", "nano", "--data", "nowhere.jsonl"], 1, &["no data file `nowhere.jsonl`"]),
        (&["--base", "nowhere", "--data", "held.jsonl"], 1, &["no base `nowhere`"]),
        (&["--base", "nano", "--data", "held.jsonl", "--adapter", "nowhere"], 1, &["no adapter folder `nowhere`"]),
        (&["--base", "nano", "--data", "held.jsonl", "--adapter", "start"], 1, &["was not made for the base `nano`"]),
        (&["--base", "nano", "--data", "held.jsonl", "--tokens", "3"], 1, &["held.jsonl", "longer than 3 tokens"]),
        (&["--base", "nano", "--data", "bad.jsonl"], 1, &["bad.jsonl", "completion"]),
        (&["--base", "nano", "--data", "words.txt", "--exact-match", "3"], 2, &["no answers"]),
        (&["--base", "nano", "--data", "held.jsonl", "--exact-match", "0"], 2, &["at least 1"]),
        (&["--base", "nano", "--data", "held.jsonl", "--memory", "1KiB"], 2, &["--batch-size", "1 KiB"]),
        (&["--base", "nano", "--data", "held.jsonl", "--batch-size", "0"], 2, &["`batch_size` is 0"]),
        (&["--base", "nano", "--task", "coffee"], 2, &["coffee"]),
        (&["--base", "nano", "--task", "questions", "--data", "held.jsonl"], 2, &["--task"]),
    ] {
        place.refuse(&[&["eval"], flags].concat(), code, words);
    }
}
