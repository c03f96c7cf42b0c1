//! The modules that carry adapters, by PEFT's rules, and adapters that are trained further.

use std::fs;

use loralab_core::lora::peft::Adapter;

use super::{Place, small};

fn adapter(place: &Place, folder: &str) -> Adapter {
    let tensors = fs::read(place.path(&format!("{folder}/adapter_model.safetensors"))).expect("the tensors");
    Adapter::from_peft(&place.read(&format!("{folder}/adapter_config.json")), &tensors).expect("an adapter")
}

/// The layer and first letter of each adapted module, as `0q`.
fn modules(adapter: &Adapter) -> String {
    let short = |name: &str| {
        let parts: Vec<&str> = name.split('.').collect();
        format!("{}{}", parts[2], &parts[4][..1])
    };
    adapter.modules.iter().map(|module| short(&module.name)).collect::<Vec<_>>().join(" ")
}

#[test]
fn rules_choose_the_modules_that_are_trained_and_written() {
    let place = Place::new();
    for (index, (flags, words, found)) in [
        (&["--target-modules", "q_proj,v_proj"][..], "2 layers × q_proj, v_proj", "0q 0v 1q 1v"),
        (&["--target-modules", "self_attn.q_proj"], "2 layers × q_proj", "0q 1q"),
        (&["--target-modules", r".*\.(q|v)_proj"], "2 layers × q_proj, v_proj", "0q 0v 1q 1v"),
        (&["--target-modules", r"model\.layers\.\d{1,2}\.mlp\.up_proj"], "2 layers × up_proj", "0u 1u"),
        (
            &["--target-modules", "q_proj,v_proj,up_proj", "--exclude-modules", "layers.0.self_attn.v_proj,up_proj"],
            "3 modules (q_proj, v_proj)",
            "0q 1q 1v",
        ),
        (
            &["--exclude-modules", r".*\.mlp\..*", "--layers-to-transform", "1"],
            "1 layer × q_proj, k_proj",
            "1k 1o 1q 1v",
        ),
        (
            &["--target-modules", "o_proj", "--layers-to-transform", "1", "--layers-pattern", "layers"],
            "1 layer × o_proj",
            "1o",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let flags = [&["--rank", "2"][..], flags].concat();
        let dry = place.succeed(&[&small("train", &["--dry-run"])[..], &flags].concat()).stdout;
        let folder = format!("results{index}");
        let trained = place.succeed(&[&small("train", &["--output", &folder])[..], &flags].concat()).stderr;
        let adapter = adapter(&place, &format!("{folder}/adapters/init-a_lr4e-3_seed0"));
        assert_eq!(modules(&adapter), found, "{flags:?}");
        let elements: usize = adapter.modules.iter().map(|module| module.a.len() + module.b.len()).sum();
        let count =
            if elements < 1000 { elements.to_string() } else { format!("{},{:03}", elements / 1000, elements % 1000) };
        for text in [&dry, &trained] {
            let sentence = text.lines().find(|line| line.starts_with("Adapters: ")).unwrap_or_else(|| panic!("{text}"));
            assert!(
                sentence.contains(words) && sentence.contains(&format!(": {count} trained parameters (")),
                "{sentence}"
            );
        }
        // The settings that were written choose the same modules.
        let config = format!("{folder}/experiment.toml");
        let again = place.succeed(&["train", "--config", &config, "--dry-run", "--output", "again"]).stdout;
        assert!(again.contains(words), "{again}");
    }
}

#[test]
fn rules_that_choose_nothing_are_refused_with_what_exists() {
    let place = Place::new();
    for (flags, words) in [
        (&["--target-modules", "q_proj,v_prj"][..], &["\"v_prj\"", "Did you mean \"v_proj\"?", "q_proj, k_proj"][..]),
        (&["--target-modules", r".*\.attn"], &["matches no module", "q_proj, k_proj"]),
        (&["--target-modules", "(?=q)"], &["cannot be run"]),
        (&["--exclude-modules", "lm_head"], &["`exclude_modules`", "\"lm_head\""]),
        (&["--layers-to-transform", "7"], &["14 match", "layers 0 to 1"]),
        (&["--layers-pattern", "layers"], &["layers_to_transform"]),
    ] {
        place.refuse(&[&small("train", &[])[..], flags].concat(), 2, words);
    }
}

#[test]
fn an_adapter_is_trained_further() {
    let place = Place::new();
    let flags = ["--rank", "4", "--alpha", "8", "--scaling", "rslora", "--target-modules", "q_proj,up_proj"];
    place.succeed(&[&small("train", &["--output", "first"])[..], &flags].concat());
    let first = "first/adapters/init-a_lr4e-3_seed0";
    // As PEFT may write it: with a pattern for the modules, and settings that this program does not write.
    let mut config = place.json(&format!("{first}/adapter_config.json"));
    config["target_modules"] = serde_json::json!(r"model\.layers\.\d+\.(self_attn\.q|mlp\.up)_proj");
    config["lora_dropout"] = serde_json::json!(0.1);
    place.write(&format!("{first}/adapter_config.json"), config.to_string());
    // Steps so small that no value changes.
    let still = small("train", &["--adapter", first, "--learning-rate", "1e-30", "--output", "still"]);
    place.succeed(&still);
    let [given, kept] = [first, "still/adapters/adapter_lr1e-30_seed0"].map(|folder| adapter(&place, folder));
    assert_eq!((kept.rank, kept.alpha, kept.use_rslora), (4, 8.0, true));
    assert_eq!((modules(&kept), modules(&given)), ("0u 0q 1u 1q".to_owned(), "0u 0q 1u 1q".to_owned()));
    for (one, other) in given.modules.iter().zip(&kept.modules) {
        let close = |x: &[f32], y: &[f32]| x.iter().zip(y).all(|(x, y)| (x - y).abs() < 1e-20);
        assert!(close(&one.a, &other.a) && close(&one.b, &other.b), "{}", one.name);
    }
    // The losses go on from where the first training ended, and are not those of a new adapter.
    let last = place.json("first/summary.json")["schemes"][0]["learning_rates"][0]["losses"][0].clone();
    let same = place.json("still/summary.json")["schemes"][0]["learning_rates"][0]["losses"][0].clone();
    assert_eq!(last, same);
    place.succeed(&small("train", &["--adapter", first, "--output", "second"]));
    assert!(adapter(&place, "second/adapters/adapter_lr4e-3_seed0") != given);
    let refuse = |flags: &[&str], code, words: &[&str]| place.refuse(&small("train", flags), code, words);
    refuse(&["--adapter", first, "--rank", "2", "--output", "no"], 2, &["--adapter", "--rank"]);
    refuse(&["--adapter", "nowhere", "--output", "no"], 1, &["no adapter folder `nowhere`"]);
}

/// Ranks and scales of their own are trained, written as PEFT has them, read again with the same loss, and trained further.
#[test]
fn modules_have_ranks_and_scales_of_their_own() {
    let place = Place::new();
    let patterns =
        ["--rank", "4", "--rank-pattern", "q_proj=2,layers.1.mlp.up_proj=6", "--alpha-pattern", "v_proj=40,q_proj=8"];
    let targets = ["--target-modules", "q_proj,v_proj,up_proj"];
    let flags = [&patterns[..], &targets].concat();
    for (scheme, learning_rate) in [("init-a", "1e-2"), ("init-b", "1e-2"), ("pissa", "1e-3"), ("lora-ga", "1e-3")] {
        let output = format!("of-{scheme}");
        let run = ["--scheme", scheme, "--learning-rate", learning_rate, "--output", &output];
        let trained = place.succeed(&[&small("train", &run)[..], &flags].concat()).stderr;
        // Widths of 32, and 80 that the up projection writes.
        let count = 2 * 2 * 64 + 2 * 4 * 64 + (4 + 6) * (32 + 80);
        assert!(trained.contains(&format!(": {},{:03} trained", count / 1000, count % 1000)), "{trained}");
        let folder = format!("{output}/adapters/{scheme}_lr{learning_rate}_seed0");
        let config = place.json(&format!("{folder}/adapter_config.json"));
        let doubled = if scheme == "init-a" || scheme == "init-b" { 1 } else { 2 };
        let named = |pattern: &str| {
            let entries = config[pattern].as_object().expect("a pattern").iter();
            entries.map(|(name, x)| (name.clone(), x.as_f64().expect("a number"))).collect::<Vec<_>>()
        };
        let layer = |layer: usize, name: &str, x: usize| (format!("model.layers.{layer}.{name}"), (x * doubled) as f64);
        let q = |x: usize| [layer(0, "self_attn.q_proj", x), layer(1, "self_attn.q_proj", x)];
        let v = [layer(0, "self_attn.v_proj", 40), layer(1, "self_attn.v_proj", 40)];
        let sorted = |mut entries: Vec<(String, f64)>| {
            entries.sort_by(|one, other| one.0.cmp(&other.0));
            entries
        };
        assert_eq!(
            (config["r"].as_u64(), config["lora_alpha"].as_u64()),
            (Some(4 * doubled as u64), Some(16 * doubled as u64))
        );
        assert_eq!(sorted(named("rank_pattern")), sorted([&q(2)[..], &[layer(1, "mlp.up_proj", 6)]].concat()));
        assert_eq!(sorted(named("alpha_pattern")), sorted([&q(8)[..], &v, &[layer(1, "mlp.up_proj", 16)]].concat()));
        let summary = place.json(&format!("{output}/summary.json"));
        let last = summary["schemes"][0]["learning_rates"][0]["losses"][0].as_f64().expect("a loss");
        let still = format!("still-{scheme}");
        place.succeed(&small("train", &["--adapter", &folder, "--learning-rate", "1e-30", "--output", &still]));
        let again = place.json(&format!("{still}/summary.json"));
        let same = again["schemes"][0]["learning_rates"][0]["losses"][0].as_f64().expect("a loss");
        assert!((last - same).abs() < 2e-6 * last, "{scheme}: {last}, then {same}");
    }
    for (flags, words) in [
        (["--rank-pattern", "k_proj=2"], &["`rank_pattern` has \"k_proj\"", "q_proj, v_proj, up_proj"][..]),
        (["--rank-pattern", "q_proj=0"], &["`rank_pattern` is \"q_proj=0\"", "NAME=RANK"]),
        (["--alpha-pattern", "q_proj"], &["`alpha_pattern` is \"q_proj\"", "NAME=ALPHA"]),
        (["--alpha-pattern", "(?=q)=2"], &["`alpha_pattern`", "cannot be run"]),
        (["--rank-pattern", "q_proj=2,q_proj=4"], &["`rank_pattern` has q_proj twice"]),
    ] {
        place.refuse(&[&small("train", &["--output", "no"])[..], &targets, &flags].concat(), 2, words);
    }
    let rounds = ["--scheme", "loftq-nf4", "--scheme-options", "loftq-nf4.rounds=2", "--output", "no"];
    place.refuse(&[&small("train", &rounds)[..], &flags].concat(), 2, &["`rank_pattern`", "rounds"]);
}
