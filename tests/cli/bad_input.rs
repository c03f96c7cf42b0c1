//! Whatever is wrong is told in a sentence, with exit code 2 for what was typed and 1 for what failed, and nothing is
//! written.

use std::fs;

use safetensors::{SafeTensors, tensor::TensorView};

use super::{Place, small};

const NANO: &[u8] = include_bytes!("../../crates/core/bases/nano.safetensors");

#[test]
fn data_files() {
    let place = Place::new();
    fs::create_dir(place.path("folder")).expect("a folder");
    place.write("empty.txt", "");
    place.write("binary.txt", [b'a', b'b', 0, b'c']);
    place.write("short.txt", "too short");
    place.write("short.jsonl", "{\"prompt\": \"a\", \"completion\": \"b\"}\n");
    place.write("broken.jsonl", "{\"prompt\": \"a\", \"completion\": \"b\"}\n\n{\"prompt\": \"a\", \"compl\n");
    place.write("lacking.jsonl", "{\"prompt\": \"a\"}\n");
    place.write("long.jsonl", format!("{{\"prompt\": \"a\", \"completion\": \"{}\"}}\n", "b".repeat(90)));
    for (data, words) in [
        ("missing.txt", &["no data file `missing.txt`", "check the path"][..]),
        ("folder", &["`folder` is a folder", "a file is needed"]),
        ("empty.txt", &["empty.txt: the data is empty", "UTF-8"]),
        ("binary.txt", &["binary.txt: byte 2 is 0x00", "binary file"]),
        ("short.txt", &["short.txt: the text has 9 tokens, but"]),
        ("short.jsonl", &["short.jsonl: there are 1 different prompts", "at least 2"]),
        ("broken.jsonl", &["broken.jsonl: line 3 is not valid JSON"]),
        ("lacking.jsonl", &["lacking.jsonl: it holds JSON lines, whose records have the fields prompt", "--fields"]),
        ("long.jsonl", &["long.jsonl: 1 of 1 is longer than 64 tokens", "line 1", "92"]),
    ] {
        place.refuse(&small("sweep", &["--data", data]), 1, words);
        place.refuse(&["pretrain", "--data", data, "--output", "new.safetensors"], 1, words);
    }
}

/// The nano base with each tensor's shape and bytes changed, and its config.
fn changed(change: impl Fn(&str, &mut Vec<usize>, &mut Vec<u8>), config: impl Fn(String) -> String) -> Vec<u8> {
    let file = SafeTensors::deserialize(NANO).expect("the shipped base");
    let (_, metadata) = SafeTensors::read_metadata(NANO).expect("the shipped base");
    let mut metadata = metadata.metadata().clone().expect("the shipped base has its config");
    metadata.entry("config".to_owned()).and_modify(|text| *text = config(text.clone()));
    let tensors = file.iter().map(|(name, view)| {
        let (mut shape, mut bytes) = (view.shape().to_vec(), view.data().to_vec());
        change(name, &mut shape, &mut bytes);
        (name, view.dtype(), shape, bytes)
    });
    let tensors: Vec<_> = tensors.collect();
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| (name, TensorView::new(*dtype, shape.clone(), bytes).expect("a tensor")));
    safetensors::serialize(views, Some(metadata)).expect("a checkpoint")
}

#[test]
fn checkpoints() {
    let place = Place::new();
    let keep = |_: &str, _: &mut Vec<usize>, _: &mut Vec<u8>| {};
    place.write("empty.safetensors", "");
    place.write("binary.safetensors", [7; 300]);
    place.write("truncated.safetensors", &NANO[..NANO.len() - 1000]);
    let nan = |name: &str, _: &mut Vec<usize>, bytes: &mut Vec<u8>| {
        if name == "model.norm.weight" {
            // The f16 NaN 0x7e00.
            bytes[6..8].copy_from_slice(&[0x00, 0x7e]);
        }
    };
    place.write("nan.safetensors", changed(nan, |config| config));
    let transpose = |name: &str, shape: &mut Vec<usize>, _: &mut Vec<u8>| {
        if name.ends_with("layers.1.mlp.up_proj.weight") {
            shape.reverse();
        }
    };
    place.write("shape.safetensors", changed(transpose, |config| config));
    let resized = |from: &'static str, to: &'static str| {
        changed(keep, move |config| {
            assert!(config.contains(from), "{config}");
            config.replace(from, to)
        })
    };
    place.write("layers.safetensors", resized("\"num_hidden_layers\":2", "\"num_hidden_layers\":3"));
    place.write("depth.safetensors", resized("\"num_hidden_layers\":2", "\"num_hidden_layers\":99999999999"));
    place.write("heads.safetensors", resized("\"num_attention_heads\":2", "\"num_attention_heads\":0"));
    place.write("config.safetensors", changed(keep, |_| "{}".to_owned()));
    fs::create_dir(place.path("folder")).expect("a folder");
    for (base, words) in [
        ("missing.safetensors", &["no base `missing.safetensors`", "tiny, nano"][..]),
        ("nan0", &["no base `nan0`", "Did you mean `nano`?"]),
        ("folder", &["`folder` cannot be used", "a folder without a config.json"]),
        ("empty.safetensors", &["`empty.safetensors` cannot be used", "not a whole safetensors file"]),
        ("binary.safetensors", &["`binary.safetensors` cannot be used", "not a whole safetensors file"]),
        (
            "truncated.safetensors",
            &["`truncated.safetensors` cannot be used", "not a whole safetensors file", "copy it again"],
        ),
        ("nan.safetensors", &["`model.norm.weight`", "not finite", "element 3"]),
        ("shape.safetensors", &["`model.layers.1.mlp.up_proj.weight`", "[32, 80]", "[80, 32]"]),
        ("layers.safetensors", &["`model.layers.2.input_layernorm.weight` is missing"]),
        ("depth.safetensors", &["num_hidden_layers", "99999999999"]),
        ("heads.safetensors", &["num_attention_heads", "but has 0"]),
        ("config.safetensors", &["its config needs", "but has nothing"]),
    ] {
        place.refuse(&["sweep", "--base", base], 1, words);
        place.refuse(&["generate", "--base", base, "--prompt", "a"], 1, words);
    }
}

#[test]
fn adapters() {
    let place = Place::new();
    place.succeed(&small("train", &["--quiet"]));
    let good = "results/adapters/init-a_lr4e-3_seed0";
    let config = place.read(&format!("{good}/adapter_config.json"));
    let tensors = fs::read(place.path(good).join("adapter_model.safetensors")).expect("tensors");
    let file = |name: &str, config: &str, tensors: &[u8]| {
        fs::create_dir(place.path(name)).expect("a folder");
        place.write(&format!("{name}/adapter_config.json"), config);
        place.write(&format!("{name}/adapter_model.safetensors"), tensors);
    };
    file("cut", &config, &tensors[..tensors.len() / 2]);
    file("json", "{", &tensors);
    file("rank", &config.replace("\"r\": 8", "\"r\": 4"), &tensors);
    file("stranger", &config.replace("\"nano\"", "\"llama\""), &tensors);
    fs::create_dir(place.path("bare")).expect("a folder");
    for (adapter, code, words) in [
        ("missing", 1, &["no adapter folder `missing`", "adapter_config.json"][..]),
        ("bare", 1, &["no adapter file `bare/adapter_config.json`"]),
        ("cut", 1, &["`cut` cannot be used", "adapter_model.safetensors cannot be read"]),
        ("json", 1, &["`json` cannot be used", "adapter_config.json"]),
        ("rank", 1, &["`rank` cannot be used", "lora_A.weight", "(4, inputs)"]),
        ("stranger", 2, &["the base `llama`", "--base"]),
    ] {
        place.refuse(&["generate", "--adapter", adapter, "--prompt", "a"], code, words);
    }
    let other = ["generate", "--adapter", good, "--base", "tiny", "--prompt", "a"];
    place.refuse(&other, 1, &["32 inputs and 32 outputs", "96 and 96", "--base"]);
}

#[test]
fn settings() {
    let place = Place::new();
    for (flags, words) in [
        (&["--rank", "0"][..], &["`rank` is 0", "at least 1"][..]),
        (&["--rank", "-1"], &["'-1' for '--rank", "at least 1"]),
        (&["--rank", "99999999999999"], &["adapters of one run", "Lower `rank`"]),
        (&["--learning-rate", "-1"], &["`learning_rates` is -1", "above 0"]),
        (&["--learning-rates", "1e-3,nan"], &["`learning_rates` is NaN", "above 0"]),
        (&["--learning-rates", "1e-3,"], &["'' for '--learning-rates"]),
        (&["--learning-rates", "1e-3,1e-3"], &["1e-3 twice"]),
        (&["--schemes", "init-a,init-bb"], &["\"init-bb\"", "Did you mean \"init-b\"?"]),
        (&["--scheme", "xylophone"], &["\"xylophone\"", "The known names are init-a,"]),
        (&["--seeds", "0"], &["`seeds` is empty", "nothing to run"]),
        (&["--seeds", "99999999999"], &["99999999999 seeds", "at most 100000"]),
        (&["--task", "questoins"], &["\"questoins\"", "Did you mean \"questions\"?"]),
        (&["--optimizer", "sgd", "--beta1", "0.5"], &["`beta1` is 0.5", "\"sgd\""]),
        (&["--beta2", "0.99999999"], &["`beta2` is 0.99999999", "still below 1 as a 32-bit float"]),
        (&["--target-modules", "q_porj"], &["\"q_porj\"", "Did you mean \"q_proj\"?"]),
        (&["--warmup-steps", "900"], &["`warmup_steps` is 900", "at most"]),
        (&["--tokens", "10"], &["`tokens` is 10", "the longest of 64 tokens"]),
        (&["--tokens", "99999999999"], &["alone would take", "Lower `tokens`"]),
        (
            &["--batch-size", "99999999999"],
            &["a batch alone", "Lower `batch_size`, `gradient_accumulation` or `tokens`"],
        ),
        (&["--batch-size", "0"], &["`batch_size` is 0"]),
        (&["--memory", "2 parsecs"], &["2 parsecs", "2GiB"]),
        (&["--memory", "0"], &["`memory` is 0"]),
        (&["--threads", "99999"], &["`threads` is 99999", "at most 1024"]),
        (&["--rnak", "3"], &["'--rnak'", "'--rank'"]),
        (&["--task", "questions", "--data", "x.txt"], &["--task", "--data"]),
    ] {
        place.refuse(&[&["sweep"], flags].concat(), 2, words);
        place.refuse(&[&["plan"], flags].concat(), 2, words);
    }
    place.refuse(&["pretrain", "--output", "a", "--width", "97"], 2, &["width 97", "4 heads"]);
    place.refuse(&["pretrain", "--output", "a", "--width", "65536"], 2, &["weights", "choose smaller sizes"]);
    place.refuse(&["pretrain", "--output", "a", "--steps", "0"], 2, &["'0' for '--steps", "at least 1"]);
    place.refuse(&["pretrain", "--output", "a", "--learning-rate", "nan"], 2, &["--learning-rate", "above 0"]);
    place.refuse(&["generate", "--prompt", "a", "--temperature", "-1"], 2, &["--temperature", "at least 0"]);
}

#[test]
fn config_files() {
    let place = Place::new();
    fs::create_dir(place.path("folder")).expect("a folder");
    place.write("binary.toml", [0xff, 0xfe]);
    place.write("broken.toml", "rank = 8\nalpha = \n");
    place.write("key.toml", "rank = 8\n\nlearning_rate = 1e-3\n");
    place.write("type.toml", "rank = \"eight\"\n");
    place.write("scheme.toml", "schemes = [\"init-aa\"]\n");
    place.write("none.toml", "schemes = []\n");
    place.write("rate.toml", "learning_rates = [nan]\n");
    place.write("rank.toml", "rank = 0\n");
    for (config, code, words) in [
        ("missing.toml", 1, &["no config file `missing.toml`"][..]),
        ("folder", 1, &["`folder` is a folder"]),
        ("binary.toml", 2, &["binary.toml: byte 0", "UTF-8"]),
        ("broken.toml", 2, &["broken.toml: line 2 is not valid TOML"]),
        ("key.toml", 2, &["key.toml: line 3: there is no setting `learning_rate`", "Did you mean `learning_rates`?"]),
        ("type.toml", 2, &["type.toml: line 1: `rank` is \"eight\""]),
        ("scheme.toml", 2, &["\"init-aa\"", "Did you mean \"init-a\"?"]),
        ("none.toml", 2, &["`schemes` is empty", "nothing to run"]),
        ("rate.toml", 2, &["`learning_rates` is NaN"]),
        ("rank.toml", 2, &["`rank` is 0"]),
    ] {
        place.refuse(&["sweep", "--config", config], code, words);
    }
}

#[test]
fn outputs() {
    let place = Place::new();
    place.write("file", "mine");
    fs::create_dir(place.path("full")).expect("a folder");
    place.write("full/summary.json", "mine");
    // A path below a file can be written by nobody, not even by root.
    place.refuse(&small("sweep", &["--output", "file/below"]), 1, &["`file/below` cannot be written", "--output"]);
    place.refuse(&small("sweep", &["--output", "file"]), 2, &["`file` is a file", "folder"]);
    place.refuse(&small("sweep", &["--output", "full"]), 2, &["`full` exists and is not empty", "--overwrite"]);
    place.refuse(&["init", "init-a", "--output", "full"], 2, &["choose another with `--output FOLDER`\n"]);
    // A sweep that was killed leaves its log.
    fs::create_dir(place.path("killed")).expect("a folder");
    place.write("killed/metrics.jsonl", "");
    place.refuse(&["report", "killed"], 1, &["has no summary.json", "its sweep was cut off"]);
    // The folder is refused before the base is even looked for.
    place.refuse(&["sweep", "--base", "missing", "--output", "full"], 2, &["`full` exists"]);
    // Old results stay until the new ones can begin.
    place.refuse(&["sweep", "--base", "missing", "--output", "full", "--overwrite"], 1, &["no base `missing`"]);
    place.refuse(&["pretrain", "--size", "nano", "--output", "file/below"], 1, &["`file/below` cannot be written"]);
    place.refuse(&["pretrain", "--size", "nano", "--output", "full"], 2, &["`--output full` is a folder"]);
    place.refuse(&["pretrain", "--size", "nano", "--output", "file"], 2, &["`file` exists", "--overwrite"]);
}

#[test]
fn a_pretraining_that_diverges_writes_nothing() {
    let place = Place::new();
    let flags = ["--size", "nano", "--steps", "40", "--batch-size", "2", "--learning-rate", "1e30", "--quiet"];
    place.refuse(&[&["pretrain", "--output", "new"], &flags[..]].concat(), 1, &["diverged at step", "--learning-rate"]);
}

/// The second cohort can't begin: its scheme wants more rows than these data have. The first one's results are there all the same, and it is said.
#[test]
fn a_cohort_that_cannot_begin_leaves_what_was_done() {
    let place = Place::new();
    place.write("text.txt", "The mill is by the river, and nobody knows who built it.\n".repeat(20));
    let flags =
        ["--base", "nano", "--data", "text.txt", "--tokens", "1", "--batch-size", "1", "--steps", "2", "--seeds", "1"];
    let grid =
        ["sweep", "--schemes", "init-a,activation-shift", "--learning-rates", "1e-3", "--output", "out", "--quiet"];
    let told = place.succeed(&[&grid[..], &flags].concat()).stdout;
    for words in ["1 run of activation-shift could not start", "looks for 16 directions", "only 8 rows"] {
        assert!(told.contains(words), "{told}");
    }
    let summary = place.json("out/summary.json");
    assert_eq!(summary["schemes"].as_array().map(Vec::len), Some(1));
    assert_eq!(summary["schemes"][0]["scheme"], "init-a");
    assert_eq!(summary["failures"][0]["scheme"], "activation-shift");
    assert!(place.path("out/adapters/init-a_lr1e-3_seed0/adapter_config.json").exists());
}
