//! `init`: starts by themselves.

use loralab_core::lora::{init::ALL, peft::Adapter};
use loralab_experiment::{SECOND_NAMES, first_name};

use super::Place;

fn read(place: &Place, folder: &str) -> Adapter {
    let tensors = std::fs::read(place.path(&format!("{folder}/adapter_model.safetensors"))).expect("the tensors");
    Adapter::from_peft(&place.read(&format!("{folder}/adapter_config.json")), &tensors).expect("an adapter")
}

#[test]
fn every_scheme_writes_an_adapter_that_begins_where_it_says() {
    let place = Place::new();
    for scheme in ALL {
        let told =
            place.succeed(&["init", scheme.name, "--base", "nano", "--rank", "4", "--output", scheme.name]).stdout;
        let adapter = read(&place, scheme.name);
        // A frozen pair doubles the rank, at the same scale; where layers compete for ranks, the highest is at most twice as high.
        let (rank, most) = (if scheme.frozen_pair { 8 } else { 4 }, scheme.rule.spread());
        assert!((rank..=most * rank).contains(&adapter.rank), "{} of rank {}", scheme.name, adapter.rank);
        assert!(adapter.modules.len() == 14 || most > 1 && adapter.modules.len() < 14, "{}", scheme.name);
        // A scheme that quantises the base writes it beside the adapter that belongs to it.
        let quantised = scheme.rule.quantiser();
        let base =
            quantised.map_or_else(|| "nano".to_owned(), |q| format!("nano, its adapted weights quantised to {q}"));
        assert_eq!((adapter.scale(), &adapter.base), (4.0, &base));
        let beside = place.path(&format!("{}/base.safetensors", scheme.name));
        assert_eq!(beside.exists(), quantised.is_some(), "{}", scheme.name);
        let exact = told.contains("is the base model's exactly");
        assert_eq!(exact, scheme.begins == loralab_core::lora::init::Begins::AtBase, "{told}");
        let lines: Vec<_> = told.lines().filter(|line| line.starts_with("model.layers.")).collect();
        assert_eq!(lines.len(), 14, "{told}");
        let asked: usize = lines.iter().filter_map(|line| line.split_whitespace().nth(1)?.parse::<usize>().ok()).sum();
        assert_eq!(asked, 14 * 4, "{told}");
        // PEFT adds nothing to the base if the start was said to be the base model's exactly.
        for (module, line) in adapter.modules.iter().zip(lines) {
            let rank = adapter.rank;
            let product = |o: usize, i: usize| -> f64 {
                let term = |k: usize| f64::from(module.b[o * rank + k]) * f64::from(module.a[k * module.inputs + i]);
                (0..rank).map(term).sum()
            };
            let largest = (0..module.outputs).flat_map(|o| (0..module.inputs).map(move |i| (o, i)));
            let largest = largest.map(|(o, i)| product(o, i).abs()).fold(0.0, f64::max);
            assert!(!exact || largest < 1e-12, "{} adds {largest} at {line}", scheme.name);
        }
    }
    let energy = |name: &str| {
        let told = place.succeed(&["init", name, "--base", "nano", "--output", &format!("{name}-again")]).stdout;
        let line = told.lines().find(|line| line.contains("layers.0.self_attn.q_proj")).expect("a line").to_owned();
        line.split_whitespace().nth(5).and_then(|word| word.parse::<f64>().ok()).expect("a number")
    };
    let [most, random, least] = ["pissa", "init-a", "milora"].map(energy);
    assert!(most > random && random > least && most <= 1.0, "{most} {random} {least}");
}

/// The adapter's own base and the one that it was made from write the same, since the latter is quantised for it.
#[test]
fn an_adapter_of_a_quantised_base_writes_on_it() {
    for rounds in [1, 3] {
        writes_on_its_base(rounds);
    }
}

/// The command that a sweep prints at its end writes the base that its adapters name.
#[test]
fn a_sweep_tells_how_to_write_a_quantised_base() {
    let place = Place::new();
    let options = ["--rank", "2", "--target-modules", "q_proj,down_proj", "--scheme-options", "loftq-nf4.rounds=2"];
    let flags = ["--schemes", "init-a,loftq-nf4", "--learning-rates", "1e-3", "--output", "results"];
    let said = place.succeed(&[&super::small("sweep", &flags)[..], &options].concat()).stdout;
    let command = said.lines().find(|line| line.starts_with("loralab init")).unwrap_or_else(|| panic!("{said}"));
    assert!(said.contains("adapters of loftq-nf4 belong to"), "{said}");
    place.succeed(&command.split(' ').skip(1).collect::<Vec<_>>());
    let base = |folder: &str| place.json(&format!("{folder}/adapter_config.json"))["base_model_name_or_path"].clone();
    assert_eq!(base("loftq-nf4"), base("results/adapters/loftq-nf4_lr1e-3_seed0"));
    assert!(place.path("loftq-nf4/base.safetensors").exists());
}

fn writes_on_its_base(rounds: usize) {
    let place = Place::new();
    let (option, stored) = match rounds {
        1 => ("loftq-nf4.rounds=1".to_owned(), ", its adapted weights quantised to nf4".to_owned()),
        _ => (
            format!("loftq-nf4.rounds={rounds}"),
            format!(", its adapted weights quantised to nf4 in {rounds} rounds of rank 1"),
        ),
    };
    let flags = ["init", "loftq-nf4", "--base", "nano", "--rank", "1", "--scheme-option", &option, "--output", "out"];
    place.succeed(&flags);
    let write = |base: &str, adapter: &str| {
        let flags = ["generate", "--base", base, "--prompt", "Emma ", "--count", "20"];
        let adapter = if adapter.is_empty() { vec![] } else { vec!["--adapter", adapter] };
        place.succeed(&[&flags[..], &adapter].concat()).stdout
    };
    assert_eq!(write("nano", "out"), write("out/base.safetensors", "out"));
    // The base that the adapter names is the one it was made from.
    let remembered = ["generate", "--adapter", "out", "--prompt", "Emma ", "--count", "20"];
    assert_eq!(place.succeed(&remembered).stdout, write("nano", "out"));
    let config = place.read("out/adapter_config.json");
    assert!(config.contains(&stored), "{config}");
    // The words are for people; what counts stands beside the tensors.
    place.write("out/adapter_config.json", config.replace(&stored, ""));
    assert_eq!(write("nano", "out"), write("out/base.safetensors", "out"));
    let mut tensors = std::fs::read(place.path("out/adapter_model.safetensors")).expect("the adapter's tensors");
    let field = tensors.windows(14).position(|bytes| bytes == b"quantised_base").expect("the field");
    tensors[field] = b'x';
    place.write("out/adapter_model.safetensors", tensors);
    assert_ne!(write("nano", "out"), write("out/base.safetensors", "out"));
}

#[test]
fn what_cannot_start_is_refused() {
    let place = Place::new();
    let refuse =
        |flags: &[&str], words: &[&str]| place.refuse(&[&["init"], flags, &["--output", "out"]].concat(), 2, words);
    refuse(&["pisa"], &["pissa"]);
    refuse(&["orthogonal", "--rank", "3"], &["the rank is 3", "even"]);
    refuse(&["pissa", "--alpha", "0"], &["alpha"]);
    refuse(&["all"], &["one scheme"]);
    place.write("out", "a file");
    refuse(&["pissa"], &["`out` is a file"]);
}

#[test]
fn options_of_schemes_are_taken_told_and_kept() {
    let place = Place::new();
    let said = place.succeed(&[
        "init",
        "eva",
        "--base",
        "nano",
        "--rank",
        "2",
        "--scheme-option",
        "eva.rho=1",
        "--output",
        "out",
    ]);
    assert!(said.stdout.contains("not their defaults: eva.rho=1."), "{}", said.stdout);
    let config: serde_json::Value = serde_json::from_str(&place.read("out/adapter_config.json")).expect("JSON");
    assert_eq!((config["r"].as_u64(), config["rank_pattern"].as_object().map_or(0, |map| map.len())), (Some(2), 0));
    let flags = ["--schemes", "hrp,lora-one", "--scheme-options", "hrp.ranks=2,lora-one.gamma=64", "--seeds", "1"];
    let said = place.succeed(&super::small("sweep", &[&flags[..], &["--learning-rates", "1e-3"]].concat()));
    assert!(said.stdout.contains("not their defaults: hrp.ranks=2, lora-one.gamma=64."), "{}", said.stdout);
    assert!(place.read("results/experiment.toml").contains(r#"scheme_options = ["hrp.ranks=2", "lora-one.gamma=64"]"#));
    let refuse = |options: &str, words: &[&str]| {
        place.refuse(
            &super::small("sweep", &["--schemes", "eva", "--scheme-options", options, "--output", "none"]),
            2,
            words,
        );
    };
    refuse("eva.rh=1", &["no option \"rh\"", "rho, tau"]);
    refuse("eva.rho=1.5", &["whole number from 1 to 8"]);
    refuse("hrp.share=0.1", &["hrp", "not among the schemes"]);
    refuse("evaa.rho=1", &["Did you mean \"eva\"?"]);
    refuse("rho=1", &["SCHEME.OPTION=NUMBER"]);
}

#[test]
fn steps_that_come_before_can_be_taken_off() {
    let place = Place::new();
    let small = ["sweep", "--base", "nano", "--steps", "4", "--batch-size", "2", "--validation-examples", "4"];
    let hrp = ["--schemes", "hrp", "--scheme-options", "hrp.counted=1,hrp.share=0.5", "--seeds", "1"];
    place.succeed(&[&small[..], &hrp, &["--learning-rates", "1e-2", "--evaluate-every", "1"]].concat());
    let log = place.read("results/metrics.jsonl");
    let told: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let of = |event: &str, key: &str| -> Vec<f64> {
        told.iter().filter(|told| told["event"] == event).filter_map(|told| told[key].as_f64()).collect()
    };
    assert_eq!(of("step", "learning_rate"), [1e-2, 5e-3, 0.0, 0.0]);
    let losses = of("evaluation", "loss");
    assert!(
        losses.len() == 4 && losses[0] != losses[1] && losses[1..].iter().all(|loss| *loss == losses[1]),
        "{losses:?}"
    );
    // The data that the start read before the first step are on the record, as the number of steps that read as many.
    let summary = place.json("results/summary.json");
    assert_eq!(summary["schemes"][0]["start"]["steps"].as_f64(), Some(2.0), "{summary}");
}

#[test]
fn all_names_every_scheme() {
    let place = Place::new();
    let told = place.succeed(&super::small("sweep", &["--schemes", "all", "--seeds", "1", "--dry-run"])).stdout;
    assert!(told.contains(&format!("{} schemes", ALL.len() - SECOND_NAMES.len())), "{told}");
    place.refuse(&super::small("sweep", &["--schemes", "all", "--rank", "3"]), 2, &["orthogonal", "the rank is 3"]);
}

#[test]
fn a_sweep_of_all_schemes_trains_and_exports_each() {
    let place = Place::new();
    place.succeed(&super::small("sweep", &["--schemes", "all", "--seeds", "1", "--learning-rates", "1e-3,2e-3"]));
    // The reading of data for a start is on the record, once for each scheme that reads.
    let log = place.read("results/metrics.jsonl");
    let told: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let told = told.iter().filter(|event| event["event"] == "calibrated");
    let mut readers: Vec<&str> =
        told.flat_map(|event| event["schemes"].as_array()).flatten().filter_map(|x| x.as_str()).collect();
    let mut reading: Vec<&str> =
        ALL.iter().filter(|scheme| scheme.rule.reads_data()).map(|scheme| scheme.name).collect();
    readers.sort_unstable();
    reading.sort_unstable();
    assert_eq!(readers, reading);
    for scheme in ALL.iter().filter(|scheme| first_name(scheme.name).is_none()) {
        let adapter = read(&place, &format!("results/adapters/{}_lr1e-3_seed0", scheme.name));
        let (rank, most) = (if scheme.frozen_pair { 16 } else { 8 }, scheme.rule.spread());
        assert!((rank..=most * rank).contains(&adapter.rank), "{} of rank {}", scheme.name, adapter.rank);
        // The ranks that competing layers did not get stayed exactly zero, or they would have been written.
        let config = place.read(&format!("results/adapters/{}_lr1e-3_seed0/adapter_config.json", scheme.name));
        let config: serde_json::Value = serde_json::from_str(&config).expect("JSON");
        let own = |name: &str| config["rank_pattern"][name].as_u64().or(config["r"].as_u64()).expect("a rank") as usize;
        let given: usize = adapter.modules.iter().map(|module| own(&module.name)).sum();
        assert_eq!(given, 14 * rank, "{}", scheme.name);
        let moved = adapter.modules.iter().any(|module| module.a.iter().chain(&module.b).any(|x| *x != 0.0));
        assert!(moved, "{}", scheme.name);
    }
}

#[test]
fn a_start_that_is_impossible_fails_alone() {
    let place = Place::new();
    // Every token is to be followed by the same, so labels say nothing.
    place.write("alike.txt", "a".repeat(3000));
    let flags = |schemes: &'static str, output: &'static str| {
        let grid = ["--schemes", schemes, "--data", "alike.txt", "--learning-rates", "1e-3,2e-3", "--seeds", "1"];
        super::small("sweep", &[&grid[..], &["--output", output]].concat())
    };
    let reason = "the scheme sylvester-labels starts from how the inputs of";
    let told = place.succeed(&flags("init-a,sylvester-labels,init-b", "some")).stdout;
    assert!(told.contains(&format!("2 runs of sylvester-labels could not start: {reason}")), "{told}");
    let summary = place.json("some/summary.json");
    assert_eq!(summary["failures"][0]["runs"], 2, "{summary}");
    let log = place.read("some/metrics.jsonl");
    assert_eq!(log.lines().filter(|line| line.contains("\"failed\"") && line.contains(reason)).count(), 2, "{log}");
    // The others are what they are without it.
    place.succeed(&flags("init-a,init-b", "others"));
    assert_eq!(summary["schemes"], place.json("others/summary.json")["schemes"]);
    // If nothing can start, there are no results.
    let outcome = place.run(&flags("sylvester-labels", "none"));
    assert_eq!(outcome.code, 1, "{}", outcome.stderr);
    assert!(outcome.stderr.contains(&format!("error: no run could start: {reason}")), "{}", outcome.stderr);
}
