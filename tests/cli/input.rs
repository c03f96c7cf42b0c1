//! Files that are read, and the names under which things are asked for.

use std::{fs, process::Command};

use loralab_experiment::Experiment;

use super::{Place, small};

#[test]
fn texts_in_another_encoding_are_told_as_such() {
    let place = Place::new();
    let wide: Vec<u8> = "Rose is a rose.\n".repeat(40).encode_utf16().flat_map(u16::to_le_bytes).collect();
    place.write("wide.txt", [b"\xff\xfe", &wide[..]].concat());
    place.refuse(&small("sweep", &["--data", "wide.txt"]), 1, &["wide.txt: it begins", "UTF-16", "save it as UTF-8"]);
    place.write("unmarked.txt", &wide);
    place.refuse(&small("sweep", &["--data", "unmarked.txt"]), 1, &["byte 1 is 0x00, which no text has", "encoding"]);
    // Two sequences of 64 tokens with the byte after each, with a byte-order mark before them.
    place.write("marked.txt", "\u{feff}".to_owned() + &"ab".repeat(65));
    let told = place.succeed(&small("sweep", &["--data", "marked.txt", "--dry-run"])).stdout;
    assert!(told.contains("65 tokens of text to train on"), "{told}");
}

#[test]
fn a_text_that_is_too_short_is_told_once() {
    let place = Place::new();
    place.write("short.txt", "a".repeat(64));
    place.refuse(&small("sweep", &["--data", "short.txt"]), 1, &["has 64 tokens, but 130 are needed"]);
    place.write("short.txt", "ab".repeat(65));
    place.succeed(&small("sweep", &["--data", "short.txt", "--dry-run"]));
}

/// A safetensors file of zeros with this metadata config, whose tensors say they have so many bytes.
fn checkpoint(config: Option<&str>, bytes: usize) -> Vec<u8> {
    let metadata = config.map_or(String::new(), |config| format!("\"__metadata__\":{{\"config\":{config:?}}},"));
    let tensor = format!("\"a\":{{\"dtype\":\"F32\",\"shape\":[{}],\"data_offsets\":[0,{bytes}]}}", bytes / 4);
    let header = format!("{{{metadata}{tensor}}}");
    [&(header.len() as u64).to_le_bytes()[..], header.as_bytes(), &vec![0; bytes]].concat()
}

#[test]
fn what_is_no_base_is_told_by_what_it_is() {
    let place = Place::new();
    let llama = "{\"model_type\":\"llama\",\"vocab_size\":49152,\"hidden_size\":576,\"num_hidden_layers\":30,\
        \"num_attention_heads\":9,\"num_key_value_heads\":3,\"intermediate_size\":1536,\"rope_theta\":1e5,\
        \"rms_norm_eps\":1e-5,\"tie_word_embeddings\":true,\"max_position_embeddings\":8192}";
    let t5 = "{\"model_type\":\"t5\",\"vocab_size\":30522,\"hidden_size\":384}";
    for (folder, config) in [("llama", llama), ("t5", t5), ("bytes", &llama.replace("49152", "256"))] {
        fs::create_dir(place.path(folder)).expect("a folder");
        place.write(&format!("{folder}/config.json"), config);
        place.write(&format!("{folder}/model.safetensors"), checkpoint(None, 64));
    }
    fs::create_dir(place.path("adapter")).expect("a folder");
    place.write("adapter/adapter_config.json", "{}");
    place.write("model.gguf", b"GGUF\x03\0\0\0and so on".repeat(10));
    place.write("pytorch_model.bin", b"PK\x03\x04and so on".repeat(10));
    place.write("old.bin", b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.".repeat(10));
    place.write("lfs.safetensors", "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n");
    place.write("other.safetensors", checkpoint(Some(llama), 64));
    place.write("cut.safetensors", &checkpoint(Some(llama), 4096)[..1000]);
    for (base, words) in [
        ("llama", &["`llama` cannot be used", "vocabulary of 49152 tokens", "256 tokens"][..]),
        ("t5", &["`t5` cannot be used", "\"model_type\": \"t5\""]),
        ("bytes", &["`bytes` cannot be used", "30 layers, but the file holds 1 tensors"]),
        ("adapter", &["`adapter` cannot be used", "the folder of an adapter"]),
        ("llama/config.json", &["config.json` cannot be used: it is JSON", "no weights"]),
        ("llama/model.safetensors", &["model.safetensors` cannot be used", "vocabulary of 49152 tokens"]),
        ("model.gguf", &["`model.gguf` cannot be used", "tensors, more than its"]),
        ("pytorch_model.bin", &["`pytorch_model.bin` cannot be used: it is a zip archive, as PyTorch"]),
        ("old.bin", &["`old.bin` cannot be used: it is a pickle"]),
        ("lfs.safetensors", &["Git LFS", "`git lfs pull`"]),
        ("other.safetensors", &["`other.safetensors` cannot be used", "vocabulary of 49152 tokens"]),
        ("cut.safetensors", &["not a whole safetensors file", "has 1000", "copy it again"]),
    ] {
        place.refuse(&["sweep", "--base", base], 1, words);
        place.refuse(&["generate", "--base", base, "--prompt", "a"], 1, words);
        place.refuse(&["init", "init-a", "--base", base, "--output", "start"], 1, words);
    }
    // Of a large checkpoint the header alone is read: the rest of this one is no file at all, but a hole.
    let header = &checkpoint(Some(llama), 64)[..];
    let header = &header[..header.len() - 64];
    let large =
        String::from_utf8_lossy(&header[8..]).replace("[0,64]", "[0,8000000000000]").replace("[16]", "[2000000000000]");
    place.write("large.safetensors", [&(large.len() as u64).to_le_bytes()[..], large.as_bytes()].concat());
    let file = fs::OpenOptions::new().write(true).open(place.path("large.safetensors")).expect("a file");
    if file.set_len(8_000_000_000_008 + large.len() as u64).is_ok() {
        let told = place.run(&["sweep", "--base", "large.safetensors"]);
        assert!(told.code == 1 && told.stderr.contains("vocabulary of 49152 tokens"), "{}", told.stderr);
    }
}

#[test]
fn a_gpu_is_named_by_its_number_or_its_name() {
    let place = Place::new();
    let listed = place.succeed(&["devices"]).stdout;
    let first =
        listed.lines().find_map(|line| line.strip_prefix("gpu:0 or gpu:")).expect("a GPU, be it software").to_owned();
    let run = |device: &str| {
        let device = format!("gpu:{device}");
        let outcome = place.run(&["generate", "--base", "nano", "--prompt", "a", "--count", "1", "--device", &device]);
        (outcome.code, outcome.stderr)
    };
    for device in ["0", &first, &first.to_uppercase(), &first[..4]] {
        assert_eq!(run(device).0, 0, "{device}: {}", run(device).1);
    }
    // A number is none of the digits of a driver's version, and a version is no name.
    let (code, said) = run("99");
    assert!(code == 1 && said.contains("no GPU is called `99`; found: 0: "), "{said}");
    if let Some((_, driver)) = first.split_once(" (") {
        let driver = driver.trim_end_matches(')');
        assert_eq!(run(driver).0, 1, "{driver} is no name");
    }
}

#[test]
fn what_is_trained_is_said_before() {
    let place = Place::new();
    place.write("rhyme.txt", "Rose is a rose is a rose is a rose.\n".repeat(400));
    for (flags, words) in [
        (
            &[][..],
            &[
                "3686 examples to train on and 410 held out, of which 4 are validated with",
                "3 steps of 2 sequences are 0.00 epochs",
                "in nats per token",
                "Less than a second on CPU",
                "by a step that was timed",
            ][..],
        ),
        (
            &["--data", "rhyme.txt"],
            &["12960 tokens of text to train on, 202 sequences, and 1440 held out, of whose 22 sequences 4"],
        ),
    ] {
        let told = place.succeed(&small("sweep", &[flags, &["--dry-run"]].concat())).stdout;
        words.iter().for_each(|words| assert!(told.contains(words), "no «{words}» in:\n{told}"));
        let trained = place.succeed(&small("train", &[flags, &["--overwrite"]].concat())).stderr;
        words.iter().for_each(|words| assert!(trained.contains(words), "no «{words}» in:\n{trained}"));
        assert!(trained.contains("lowest training loss init-a "), "{trained}");
    }
}

#[test]
fn epochs_are_as_many_steps_as_they_take() {
    let place = Place::new();
    let line = |i| format!("{{\"prompt\": \"{i}+1=\", \"completion\": \"{}\"}}\n", i + 1);
    place.write("sums.jsonl", (0..50).map(line).collect::<String>());
    let steps = |flags: &[&str]| {
        let flags = [&["train", "--base", "nano", "--data", "sums.jsonl", "--quiet", "--overwrite"], flags].concat();
        place.succeed(&flags);
        let written = Experiment::from_toml(&place.read("results/experiment.toml")).expect("an experiment");
        written.steps.expect("it is written")
    };
    // 45 of 50 examples are trained on.
    assert_eq!(steps(&["--epochs", "2", "--batch-size", "4"]), 23);
    assert_eq!(steps(&["--epochs", "0.5", "--batch-size", "4", "--warmup-steps", "5"]), 6);
    assert_eq!(steps(&["--epochs", "1e-9", "--batch-size", "4"]), 1);
    let epochs = |more: &[&'static str]| small("train", &[&["--epochs", "1"], more].concat());
    place.refuse(&epochs(&[]), 2, &["--epochs", "--steps"]);
    place.refuse(&["train", "--epochs", "0"], 2, &["--epochs", "above 0"]);
    place.refuse(
        &["train", "--data", "sums.jsonl", "--epochs", "1", "--warmup-steps", "7"],
        2,
        &["`warmup_steps` is 7 and `steps` is 6"],
    );
}

#[test]
fn flags_of_other_tools_are_taken() {
    let place = Place::new();
    let theirs =
        ["--lr", "2e-3", "--max-steps", "2", "--lora-r", "4", "--lora-alpha", "8", "--eval-steps", "1", "-o", "a"];
    let small = ["--base", "nano", "--batch-size", "2", "--validation-examples", "4", "--quiet"];
    place.succeed(&[&["train"], &theirs[..], &small].concat());
    let ours = [
        "--learning-rate",
        "2e-3",
        "--steps",
        "2",
        "--rank",
        "4",
        "--alpha",
        "8",
        "--evaluate-every",
        "1",
        "--output",
        "b",
    ];
    place.succeed(&[&["train"], &ours[..], &small].concat());
    assert_eq!(place.read("a/experiment.toml"), place.read("b/experiment.toml"));
    let sweep = ["--lr", "1e-3,2e-3", "--iters", "2", "--seeds", "1", "--output-dir", "c"];
    place.succeed(&[&["sweep"], &sweep[..], &small].concat());
    assert!(
        place.read("c/experiment.toml").contains("learning_rates = [0.001, 0.002]"),
        "{}",
        place.read("c/experiment.toml")
    );
    place.succeed(&["init", "init-b", "--base", "nano", "--lora-r", "4", "--lora-alpha", "8", "-o", "d"]);
    assert!(place.read("d/adapter_config.json").contains("\"r\": 4"));
    let rate = ["rate", "init-b", "--known", "2e-4@64x4", "--for", "64x8", "--lora-alpha", "8"];
    assert!(place.succeed(&rate).stdout.contains(" s 1."));
}

#[test]
fn a_dry_run_says_that_the_run_is_refused() {
    let place = Place::new();
    fs::create_dir(place.path("results")).expect("a folder");
    place.write("results/notes.txt", "mine");
    let told = place.succeed(&small("sweep", &["--dry-run"])).stderr;
    assert!(told.contains("Without `--dry-run` this is refused: the results folder `results` exists"), "{told}");
    for flags in [&["--dry-run", "--overwrite"][..], &["--dry-run", "--output", "other"]] {
        let told = place.succeed(&small("sweep", flags)).stderr;
        assert!(!told.contains("refused"), "{told}");
    }
}

#[test]
fn all_schemes_are_each_start_once() {
    let place = Place::new();
    let told = |schemes: &str| place.succeed(&small("sweep", &["--schemes", schemes, "--dry-run"])).stdout;
    let once = "peft-default is init-a-kaiming under another name, so it is not trained again.";
    let all = told("all");
    assert!(all.contains(once) && all.contains("27 schemes"), "{all}");
    assert!(told("all,init-a").contains("27 schemes") && told("pissa,all").contains("27 schemes"));
    let both = told("all,peft-default");
    assert!(both.contains("28 schemes") && !both.contains(once), "{both}");
    place.refuse(&small("train", &["--scheme", "all"]), 2, &["`--scheme all` names 27 schemes", "`loralab sweep`"]);
}

#[test]
fn one_value_is_asked_for_where_one_is_wanted() {
    let place = Place::new();
    for (flag, value, words) in [
        ("--lr", "1e-3,2e-3", "it must be a number above 0 and within"),
        ("--seed", "1,2", "it must be a whole number from 0 to 9007199254740991; several are for `loralab sweep`"),
    ] {
        place.refuse(&["train", flag, value], 2, &[words, "several are for `loralab sweep`"]);
        let one = place.run(&["train", flag, "x"]);
        assert!(one.code == 2 && !one.stderr.contains("several") && !one.stderr.contains("list"), "{}", one.stderr);
    }
    for flags in [&["--base", "nano", "--base", "tiny"][..], &["--steps", "3", "--max-steps", "4"]] {
        place.refuse(&[&["train"], flags].concat(), 2, &["cannot be used multiple times", "tip: give it once"]);
    }
}

#[test]
fn a_rank_that_gains_nothing_is_told() {
    let place = Place::new();
    let words = "no change of q_proj has a rank above 32";
    let flags = ["--target-modules", "q_proj,gate_proj", "--rank"];
    let told = |command: &[&str], rank| place.succeed(&[command, &flags, &[rank]].concat());
    for (rank, is_told) in [("33", true), ("32", false)] {
        let dry = told(&small("sweep", &["--dry-run"]), rank).stdout;
        assert_eq!(dry.contains(words), is_told, "{dry}");
        let trained = told(&small("train", &["--overwrite"]), rank).stderr;
        assert_eq!(trained.contains(words), is_told, "{trained}");
        let started = told(&["init", "init-a", "--base", "nano", "--output", rank], rank).stderr;
        assert_eq!(started.contains(words), is_told, "{started}");
    }
}

#[test]
fn memory_of_a_start_is_bounded_by_a_flag() {
    let place = Place::new();
    let init = ["init", "eva", "--base", "nano", "--batch-size", "512", "--output", "start", "--memory", "1MB"];
    place.refuse(&init, 2, &["`memory`"]);
    place.refuse(&["init", "loftq-nf4", "--residual-base", "-o", "start"], 2, &["a quantised base of its own"]);
    place.refuse(&["init", "init-a", "--residual-base", "-o", "start"], 2, &["init-a leaves the base as it is"]);
}

#[test]
fn names_of_a_hub_and_numbers_beyond_counting_are_refused() {
    let place = Place::new();
    for command in [&["sweep"][..], &["generate", "--prompt", "a"], &["init", "init-a", "-o", "start"]] {
        let words = ["`meta-llama/Llama-3.2-1B`", "cache/huggingface/hub", "`hf download meta-llama/Llama-3.2-1B`"];
        place.refuse(&[command, &["--base", "meta-llama/Llama-3.2-1B"]].concat(), 1, &words);
    }
    place.refuse(&["sweep", "--base", "models/own.safetensors"], 1, &["Check the path"]);
    place.refuse(&["train", "--epochs", "1e30"], 2, &["`--epochs` of 1e30 would be 4.6e32 steps"]);
}

#[test]
fn one_of_something_is_not_told_as_many() {
    let place = Place::new();
    let flags = ["--base", "nano", "--steps", "2", "--validation-examples", "1", "--threads", "1", "--dry-run"];
    let told = place.succeed(&[&["sweep"], &flags[..]].concat()).stdout;
    assert!(told.contains("of which 1 is validated with") && told.contains("CPU, 1 thread,"), "{told}");
}

#[test]
fn tips_name_what_was_meant() {
    let place = Place::new();
    for (command, flag, tip) in [
        ("sweep", "--max-stesp", Some("'--max-steps'")),
        ("sweep", "--rnak", Some("'--rank'")),
        ("sweep", "--per-device-train-batch-size", Some("'--batch-size'")),
        ("train", "--num-train-epoch", Some("'--num-train-epochs'")),
        ("init", "--lora-rank", Some("'--rank'")),
        ("report", "--max-memory", None),
        ("sweep", "--max-tokens", None),
    ] {
        let told = place.run(&[command, flag, "3"]).stderr;
        assert!(told.contains(&format!("unexpected argument '{flag}' found")), "{told}");
        match tip {
            Some(tip) => assert!(told.contains(&format!("a similar argument exists: {tip}")), "{flag}: {told}"),
            None => assert!(!told.contains("similar"), "{flag}: {told}"),
        }
    }
}

#[test]
fn numbers_beyond_f32_are_told_the_range() {
    let place = Place::new();
    for flag in
        ["--alpha", "--learning-rates", "--epsilon", "--weight-decay", "--learning-rate-ratio", "--max-grad-norm"]
    {
        place.refuse(&["sweep", flag, "1e39"], 2, &["1e39", "the range of 32-bit floats", "3.4e38"]);
    }
    place.refuse(&["sweep", "--schemes", "eva", "--scheme-options", "lora-ga.gamma=1e39"], 2, &["32-bit floats"]);
    place.refuse(&["pretrain", "-o", "a", "--weight-decay", "1e39"], 2, &["3.4e38"]);
    place.refuse(&["generate", "--prompt", "a", "--temperature", "1e39"], 2, &["3.4e38"]);
    place.refuse(&["rate", "init-a", "--known", "1e39@64x4", "--for", "64x8"], 2, &["3.4e38"]);
    place.refuse(&["rate", "init-a", "--known", "1e-3@64x4", "--for", "64x8", "--alpha", "1e39"], 2, &["3.4e38"]);
    place.refuse(&["reproduce", "exponents", "--constant", "1e400"], 2, &["3.4e38"]);
}

#[test]
fn rates_are_searched_for_where_a_file_says_so() {
    let place = Place::new();
    place.write("auto.toml", "learning_rates = \"auto\"\nschemes = \"init-b\"\nseeds = 1\n");
    let told = place.succeed(&small("sweep", &["--config", "auto.toml", "--dry-run"])).stdout;
    assert!(told.contains("the first round of the search"), "{told}");
    let listed = place.succeed(&small("sweep", &["--config", "auto.toml", "--lr", "1e-3", "--dry-run"])).stdout;
    assert!(!listed.contains("search") && listed.contains("1 learning rate"), "{listed}");
    place.refuse(&small("plan", &["--config", "auto.toml"]), 2, &["`learning_rates` is \"auto\""]);
    place.refuse(&small("train", &["--config", "auto.toml"]), 2, &["`learning_rates` is \"auto\""]);
}

/// Permissions don't keep root from writing, so a folder stands where the report's file should.
#[test]
fn a_report_that_cannot_be_written_gives_no_flag_it_has_not() {
    let place = Place::new();
    place.succeed(&small("train", &["--quiet"]));
    fs::create_dir_all(place.path("results/.report.html.partial/full")).expect("a folder");
    let told = place.run(&["report", "results"]);
    assert_eq!(told.code, 1, "{}", told.stderr);
    assert!(told.stderr.contains("cannot be written") && told.stderr.contains("copy the results"), "{}", told.stderr);
    assert!(!told.stderr.contains("--output"), "{}", told.stderr);
}

/// Data from a pipe have no name, so their content decides.
#[test]
#[cfg(target_os = "linux")]
fn data_from_a_pipe_are_known_by_their_content() {
    let place = Place::new();
    let line = |i| format!("{{\"prompt\": \"{i}+1=\", \"completion\": \"{}\"}}\n", i + 1);
    place.write("lines", (0..40).map(line).collect::<String>());
    place.write("table", "so,1\nnot so,2\n".repeat(40));
    place.write("plain", "Rose is a rose is a rose is a rose.\n".repeat(40));
    let piped = |from: &str, command: &str| {
        let command = format!("{from} | {} {command}", env!("CARGO_BIN_EXE_loralab"));
        let output = Command::new("sh").args(["-c", &command]).current_dir(place.0.path()).output().expect("a shell");
        let text = |bytes| String::from_utf8(bytes).expect("the binary writes UTF-8");
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    for data in ["-", "/dev/stdin"] {
        let sweep = format!("sweep --base nano --dry-run --data {data}");
        let (code, told, said) = piped("cat lines", &sweep);
        assert!(code == Some(0) && told.contains("36 examples to train on"), "{told}{said}");
        let (code, told, said) = piped("cat plain", &sweep);
        assert!(code == Some(0) && told.contains("tokens of text to train on"), "{told}{said}");
        let (code, told, said) = piped("cat table", &sweep);
        assert!(code == Some(1) && told.is_empty() && said.contains("it holds comma-separated values"), "{said}");
        assert!(said.contains("a name that ends in .raw"), "{said}");
    }
    // All of it trains, validates, and stands in the results.
    let (code, _, said) = piped("cat lines", "train --base nano --data - --steps 2 --batch-size 2 --quiet");
    assert!(code == Some(0), "{said}");
    assert!(place.read("results/experiment.toml").contains("data = \"-\""));
    place.refuse(&small("sweep", &["--data", "-", "--dry-run"]), 1, &["stdin: the data is empty"]);
}

/// A device that never ends is not read until memory does.
#[test]
#[cfg(target_os = "linux")]
fn data_that_do_not_end_are_refused() {
    let place = Place::new();
    place.refuse(&small("sweep", &["--data", "/dev/zero"]), 1, &["`/dev/zero` is no file", "at most 1 GiB"]);
}
