//! `--quantize`: a base in few bits, through every command that loads one.

use serde_json::Value;

use super::{Place, small};

/// A sweep over nano in few bits, and the folders of its adapters.
fn swept(place: &Place, bits: &str) -> [String; 2] {
    let sums: String =
        (0..40).map(|i| format!("{{\"prompt\": \"{i}+1=\", \"completion\": \"{}\"}}\n", i + 1)).collect();
    place.write("train.jsonl", &sums);
    place.write("held.jsonl", sums.lines().take(7).collect::<Vec<_>>().join("\n"));
    let data = ["--data", "train.jsonl", "--validation", "held.jsonl", "--tokens", "16", "--device", "cpu"];
    let grid = ["--schemes", "init-a,pissa", "--learning-rates", "1e-2", "--seeds", "1", "--quiet", "--overwrite"];
    let settings = ["--rank", "2", "--steps", "6", "--batch-size", "4", "--quantize", bits];
    place.succeed(&[&["sweep", "--model", "nano"], &data[..], &grid, &settings].concat());
    ["init-a", "pissa"].map(|scheme| format!("results/adapters/{scheme}_lr1e-2_seed0"))
}

/// The losses of the base and of adapters.
fn losses(place: &Place, flags: &[&str]) -> Vec<f64> {
    let data = ["--data", "held.jsonl", "--device", "cpu"];
    let said = place.succeed(&[&["eval", "--json"], &data[..], flags].concat()).stdout;
    let said: Value = serde_json::from_str(&said).unwrap_or_else(|error| panic!("{said}: {error}"));
    let models = said["models"].as_array().expect("a list");
    models.iter().map(|model| model["loss"].as_f64().expect("a loss")).collect()
}

fn close(one: f64, other: f64) -> bool {
    (one - other).abs() <= 1e-6 * other.abs()
}

#[test]
fn adapters_remember_the_bits_that_they_were_trained_on() {
    let place = Place::new();
    let stored = {
        let folders = swept(&place, "none");
        assert!(!place.read("results/experiment.toml").contains("quantize"));
        losses(&place, &["--adapter", &folders[0]])[0]
    };
    for bits in ["int8", "nf4"] {
        let [a, b] = swept(&place, bits);
        assert!(place.read("results/experiment.toml").contains(&format!("quantize = \"{bits}\"")));
        let summary = place.json("results/summary.json");
        let said = |value: &Value| value.as_f64().expect("a number");
        // The base beside them has the same bits.
        let of_sweep =
            [&summary["base_loss"], &summary["schemes"][0]["best_loss"], &summary["schemes"][1]["best_loss"]];
        let together = losses(&place, &["--adapter", &a, "--adapter", &b]);
        for (found, expected) in together.iter().zip(of_sweep) {
            assert!(close(*found, said(expected)), "{bits}: {found} and {expected}");
        }
        assert!(!close(together[0], stored), "{bits}: the base loses nothing");
        assert!(close(losses(&place, &["--base", "nano", "--quantize", bits])[0], together[0]));
        // The flag has the last word.
        let plain = losses(&place, &["--adapter", &a, "--quantize", "none"]);
        assert!(close(plain[0], stored) && !close(plain[1], together[1]), "{bits}");
        let words = ["--prompt", "3+1=", "--count", "4", "--device", "cpu"];
        place.succeed(&[&["generate", "--adapter", &a], &words[..]].concat());
        let continued = ["train", "--adapter", &a, "--data", "train.jsonl", "--tokens", "16", "--output", "more"];
        place.succeed(&[&continued[..], &["--steps", "2", "--device", "cpu", "--quiet", "--overwrite"]].concat());
        assert!(place.read("more/experiment.toml").contains(&format!("quantize = \"{bits}\"")));
        let merged = ["merge", "--model", "nano", "--adapter", &a, "--output", "merged"];
        place.refuse(&merged, 1, &["quantised copy of `nano`", "use it unmerged"]);
    }
}

#[test]
fn starts_are_those_of_the_base_in_few_bits() {
    let place = Place::new();
    let init = |flags: &[&str]| place.succeed(&[&["init", "--base", "nano", "--rank", "2"], flags].concat()).stdout;
    let told = init(&["pissa", "--quantize", "nf4", "--output", "start"]);
    assert!(told.contains("The start is for linear maps that are quantised to nf4."), "{told}");
    assert!(place.read("start/README.md").contains("quantised to nf4"));
    assert!(place.read("start/adapter_config.json").contains("\"nano\""));
    assert!(!place.path("start/base.safetensors").exists());
    assert_ne!(told, init(&["pissa", "--output", "plain"]));
    // A residual is a base of its own, which is not quantised again.
    init(&["pissa", "--quantize", "nf4", "--residual-base", "--output", "residual"]);
    let write = |adapter: &str| {
        let flags = ["--prompt", "the ", "--count", "20", "--device", "cpu", "--threads", "1"];
        place.succeed(&[&["generate", "--adapter", adapter], &flags[..]].concat()).stdout
    };
    assert_eq!(write("start"), write("residual"));
}

#[test]
fn bits_that_do_not_go_together_are_refused() {
    let place = Place::new();
    let sweep = |flags: &[&'static str]| small("sweep", flags).into_iter().map(str::to_owned).collect::<Vec<_>>();
    for (flags, words) in [
        (&["--quantize", "nf5"][..], &["nf5", "nf4"][..]),
        (&["--quantize", "nf4", "--schemes", "init-a,loftq-int8"], &["`quantize` is \"nf4\"", "loftq-int8"]),
    ] {
        let arguments = sweep(flags);
        place.refuse(&arguments.iter().map(String::as_str).collect::<Vec<_>>(), 2, words);
    }
    place.refuse(&["generate", "--prompt", "a", "--quantize", "fp4"], 2, &["it must be \"none\", \"int8\" or \"nf4\""]);
    // LoftQ's own weights are other ones.
    place.succeed(&["init", "loftq-nf4", "--base", "nano", "--rank", "2", "--output", "loftq"]);
    let words = ["weights quantised to nf4", "leave `--quantize` away"];
    place.refuse(&["generate", "--prompt", "a", "--adapter", "loftq", "--quantize", "int8"], 1, &words);
    place.succeed(&["generate", "--prompt", "a", "--adapter", "loftq", "--count", "2"]);
}

/// The bytes that are said to be saved are those that a dry run then has less.
#[test]
fn fewer_bits_take_the_bytes_less_that_are_said() {
    let place = Place::new();
    let dry = |flags: &[&str]| {
        let shape = ["train", "--base", "tiny", "--device", "cpu", "--threads", "1", "--steps", "1", "--dry-run"];
        place.succeed(&[&shape[..], flags].concat()).stdout
    };
    let together = |told: &str| -> u64 {
        let sums = told.lines().filter(|line| line.contains(" bytes  together: "));
        sums.filter_map(|line| line.trim_start().split(' ').next()?.parse().ok()).max().expect("a sum")
    };
    let stored = dry(&[]);
    for (bits, least) in [("int8", 150_000), ("nf4", 250_000)] {
        let saved = together(&stored) - together(&dry(&["--quantize", bits]));
        assert!(saved >= least, "{bits} saves {saved} bytes");
        let said = format!("--quantize {bits} {}", loralab_experiment::Bytes(saved));
        assert!(stored.contains(&said), "no «{said}» in:\n{stored}");
    }
    assert!(!dry(&["--scheme", "loftq-nf4"]).contains("--quantize"));
}
