//! Models that classify texts: trained from labelled data, their heads saved and read again.

use std::fs;

use loralab_core::lora::peft::Adapter;
use loralab_experiment::Event;

use super::Place;
use crate::training::labels::encoder;

/// A folder with an encoder of bytes and labelled sentences.
fn place() -> Place {
    let place = Place::new();
    place.write("encoder.safetensors", encoder(2).to_safetensors().expect("tensors of their shapes"));
    let line = |n: usize| format!("it is the number {n}\t{}\n", ["odd", "even"][n % 2]);
    let table = |lines: String| format!("sentence\tlabel\n{lines}");
    place.write("train.tsv", table((0..40).map(line).collect()));
    place.write("held_out.tsv", table((40..52).map(line).collect()));
    let score = |n: usize| format!("it is the number {n}\t{}.5\n", n % 7);
    place.write("scores.tsv", table((0..40).map(score).collect()));
    place
}

const ENCODER: [&str; 10] =
    ["--base", "encoder.safetensors", "--tokens", "32", "--steps", "3", "--batch-size", "4", "--threads", "2"];

/// The flags of every sweep here, and more.
fn sweep<'a>(more: &[&[&'a str]]) -> Vec<&'a str> {
    [&["sweep", "--rank", "2"][..], &ENCODER, &more.concat()].concat()
}

const GRID: [&str; 6] = ["--schemes", "init-a,init-b", "--learning-rates", "1e-3,4e-3", "--seeds", "2"];

fn adapter(place: &Place, folder: &str) -> Adapter {
    let tensors = fs::read(place.path(&format!("{folder}/adapter_model.safetensors"))).expect("the tensors");
    Adapter::from_peft(&place.read(&format!("{folder}/adapter_config.json")), &tensors).expect("an adapter")
}

#[test]
fn a_sweep_trains_and_saves_the_classifier() {
    let place = place();
    let data = ["--data", "train.tsv", "--validation", "held_out.tsv"];
    let outcome = place.succeed(&sweep(&[&GRID, &data, &["--quiet"]]));
    for word in ["accuracy", "F1", "MCC"] {
        assert!(outcome.stdout.contains(word), "no {word} in {}", outcome.stdout);
    }
    assert!(!outcome.stdout.contains("perplexity"), "{}", outcome.stdout);
    let summary = place.json("results/summary.json");
    assert_eq!(summary["accuracy"], "class");
    for scheme in summary["schemes"].as_array().expect("schemes") {
        let best = scheme["learning_rates"][0]["mean_classes"].as_object().expect("two classes");
        assert!(best["f1"].as_f64().is_some_and(|f1| (0.0..=1.0).contains(&f1)) && best["mcc"].is_f64());
    }
    let events = place.events("results/metrics.jsonl");
    assert!(events.iter().any(|event| matches!(event, Event::Base { accuracy: Some(_), .. })));

    let folder = "results/adapters/init-a_lr1e-3_seed0";
    let config = place.json(&format!("{folder}/adapter_config.json"));
    assert_eq!((&config["task_type"], &config["modules_to_save"][0]), (&"SEQ_CLS".into(), &"classifier".into()));
    let trained = adapter(&place, folder);
    let names: Vec<&str> = trained.saved.iter().map(|tensor| &tensor.name[..]).collect();
    assert_eq!(names.len(), 4, "{names:?}");
    let out = trained.saved.iter().find(|tensor| tensor.name == "classifier.out_proj.weight").expect("it is saved");
    assert_eq!(out.shape, [2, 16]);

    // The model with both in it has the losses of the base with the adapter.
    let evaluated = |flags: &[&str]| {
        let said = place.succeed(&[&["eval", "--json", "--data", "held_out.tsv"], flags].concat()).stdout;
        serde_json::from_str::<serde_json::Value>(&said).unwrap_or_else(|error| panic!("{said}: {error}"))
    };
    place.succeed(&["merge", "--model", "encoder.safetensors", "--adapter", folder, "--output", "merged"]);
    assert_eq!(place.json("merged/config.json")["architectures"][0], "RobertaForSequenceClassification");
    let (beside, merged) = (evaluated(&["--adapter", folder]), evaluated(&["--model", "merged"]));
    let of_adapter = &beside["models"][1];
    for measure in ["loss", "accuracy", "f1", "mcc"] {
        let [one, other] = [of_adapter, &merged["models"][0]].map(|model| model[measure].as_f64().expect("a measure"));
        assert!((one - other).abs() < 1e-5, "{measure}: {beside} {merged}");
    }

    let of_sweep = &summary["schemes"][0]["learning_rates"][0];
    assert_eq!((&of_sweep["learning_rate"], of_sweep["losses"].as_array().map(Vec::len)), (&1e-3.into(), Some(2)));
    let [one, other] = [&of_adapter["loss"], &of_sweep["losses"][0]].map(|loss| loss.as_f64().expect("a loss"));
    assert!((one - other).abs() < 1e-6, "{one} is not the sweep's {other}");
    let told = place.succeed(&["eval", "--data", "held_out.tsv", "--adapter", folder]);
    assert!(told.stdout.contains("accuracy     F1") && told.stdout.contains("12 examples. On"), "{}", told.stdout);
    assert!(told.stderr.contains("no classifier of its own"), "{}", told.stderr);
    // Of other classes it is not known which they are.
    place.write("three.tsv", "sentence\tlabel\nit is 3\todd\nit is 4\teven\nit is 0\tneither\n");
    for model in [["--adapter", folder], ["--model", "merged"]] {
        place.refuse(
            &[&["eval", "--data", "three.tsv"], &model[..]].concat(),
            2,
            &["3 (even, neither, odd)", "2 classes"],
        );
    }
    // The next training begins where this one ended.
    let further = ["train", "--adapter", folder, "--learning-rate", "1e-30", "--output", "further"];
    place.succeed(&[&further[..], &ENCODER, &data].concat());
    let again = adapter(&place, "further/adapters/adapter_lr1e-30_seed0");
    for tensor in &trained.saved {
        let other = again.saved.iter().find(|other| other.name == tensor.name).expect("it is saved again");
        assert!(tensor.values.iter().zip(&other.values).all(|(one, two)| (one - two).abs() < 1e-6), "{}", tensor.name);
    }
}

#[test]
fn schemes_that_read_data_and_diagnostics_know_the_head() {
    let place = place();
    let schemes =
        ["--schemes", "eva,lora-ga,corda-ipm,hrp,pissa,init-ab-subtract", "--learning-rates", "1e-3", "--seeds", "2"];
    let more = ["--data", "train.tsv", "--diagnose-every", "2"];
    place.succeed(&sweep(&[&schemes, &more, &["--quiet"]]));
    let events = place.events("results/metrics.jsonl");
    let failed: Vec<_> = events
        .iter()
        .filter(|event| matches!(event, Event::RunFinished { result } if result.failed.is_some()))
        .collect();
    assert!(failed.is_empty(), "{failed:?}");
    let kl = |event: &Event| matches!(event, Event::Diagnosis { kl_from_base: Some(kl), .. } if *kl >= 0.0);
    assert!(events.iter().any(kl));
    let aligned = |event: &Event| matches!(event, Event::Diagnosis { adapters, .. } if adapters.iter().any(|adapter| adapter.alignment.is_some_and(|x| x != 0.0)));
    assert!(events.iter().any(aligned), "the base's gradient passes through the head");
}

#[test]
fn scores_are_learnt_by_their_squared_error() {
    let place = place();
    let outcome = place.succeed(&sweep(&[&GRID, &["--data", "scores.tsv"]]));
    assert!(outcome.stderr.contains("The labels are scores from 0.5 to 6.5."), "{}", outcome.stderr);
    assert!(!outcome.stdout.contains("MCC"), "{}", outcome.stdout);
    let scheme = &place.json("results/summary.json")["schemes"][0];
    assert_eq!(scheme["best_accuracy"], serde_json::Value::Null);
    for measure in ["Pearson", "Spearman"] {
        assert!(outcome.stdout.contains(measure), "no {measure} in {}", outcome.stdout);
        let mean = &scheme["learning_rates"][0]["mean_correlations"][measure.to_lowercase()];
        assert!(mean.as_f64().is_some_and(|mean| (-1.0..=1.0).contains(&mean)), "{measure} is {mean}");
    }
    let out = adapter(&place, "results/adapters/init-b_lr4e-3_seed1");
    let weight = out.saved.iter().find(|tensor| tensor.name == "classifier.out_proj.weight").expect("it is saved");
    assert_eq!(weight.shape, [1, 16]);
}

#[test]
fn what_a_classifier_cannot_do_is_a_sentence() {
    let place = place();
    let with = |flags: &[&'static str]| sweep(&[flags]);
    let task = ["sweep", "--base", "encoder.safetensors", "--tokens", "32"];
    place.refuse(&task, 2, &["which class a text belongs to", "`--data`"]);
    place.refuse(&with(&["--data", "train.tsv", "--pack"]), 2, &["`pack`", "one label"]);
    place.write("plain.txt", "It is so. ".repeat(50));
    let plain = ["sweep", "--base", "encoder.safetensors", "--data", "plain.txt", "--tokens", "16"];
    place.refuse(&plain, 1, &["plain text", "records with a label"]);
    let other: String = (0..9).map(|n| format!("it is {n}\tneither\n")).collect();
    place.write("other.tsv", format!("sentence\tlabel\n{other}"));
    place.refuse(&with(&["--data", "train.tsv", "--validation", "other.tsv"]), 1, &["\"neither\"", "even, odd"]);
    let long: Vec<_> =
        with(&["--data", "train.tsv"]).iter().map(|flag| if *flag == "32" { "65" } else { *flag }).collect();
    place.refuse(&long, 2, &["`tokens` is 65", "64 tokens only"]);
    for command in ["generate", "chat"] {
        place.refuse(&[command, "--base", "encoder.safetensors"], 1, &["cannot continue a text"]);
    }
}

#[test]
fn gpt2_has_no_more_tokens_than_positions() {
    let place = Place::new();
    let said = r#"{"model_type":"gpt2","n_embd":8,"n_head":2,"n_layer":1,"n_positions":24,"vocab_size":256}"#;
    let model = loralab_core::models::Model::from_json(said).expect("a config");
    let tensor = |(name, shape): (String, [usize; 2])| loralab_core::graph::memory::Tensor {
        name,
        shape,
        data: loralab_core::graph::memory::Data::F32(vec![0.1; shape[0] * shape[1]].into()),
    };
    let base = loralab_core::models::Base { tensors: model.tensors().into_iter().map(tensor).collect(), model };
    place.write("gpt2.safetensors", base.to_safetensors().expect("tensors of their shapes"));
    place.write("words.txt", "so it is and so it was ".repeat(60));
    let sweep = |tokens: &'static str| {
        [
            "sweep",
            "--base",
            "gpt2.safetensors",
            "--data",
            "words.txt",
            "--steps",
            "1",
            "--batch-size",
            "2",
            "--tokens",
            tokens,
            "--dry-run",
        ]
    };
    place.succeed(&sweep("24"));
    place.refuse(&sweep("25"), 2, &["`tokens` is 25", "24 tokens only", "n_positions"]);
}
