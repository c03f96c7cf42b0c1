//! Bases and text: pretrain, generate, plan, schemes.

use std::{fs, io::Write, process::Stdio};

use loralab_core::models::Base;

use super::{Place, small};

/// Flags of a model that is pretrained in no time.
const LITTLE: [&str; 19] = [
    "pretrain",
    "--layers",
    "1",
    "--width",
    "16",
    "--heads",
    "2",
    "--kv-heads",
    "1",
    "--feed-forward",
    "24",
    "--tokens",
    "32",
    "--batch-size",
    "4",
    "--data",
    "words.txt",
    "--output",
    "little.safetensors",
];

fn words() -> Place {
    let place = Place::new();
    place.write("words.txt", "the cat sat on the mat and the dog sat on the log. ".repeat(60));
    place
}

#[test]
fn a_pretrained_base_can_be_finetuned_and_speaks() {
    let place = words();
    let outcome =
        place.succeed(&[&LITTLE[..], &["--steps", "30", "--learning-rate", "1e-2", "--threads", "1"]].concat());
    assert!(outcome.stdout.contains("weights") && outcome.stdout.contains("validation loss"), "{}", outcome.stdout);
    assert!(outcome.stderr.contains("30 of 30 steps"), "{}", outcome.stderr);
    let loss = outcome.stdout.split("validation loss ").nth(1).and_then(|rest| rest.split(' ').next());
    let loss: f64 = loss.and_then(|loss| loss.parse().ok()).expect("a validation loss");
    assert!(loss < 4.0, "30 steps must beat the {} of guessing: {loss}", 256f64.ln());

    // The same command gives the same weights, whatever the threads.
    let weights = || {
        let bytes = fs::read(place.path("little.safetensors")).expect("a base");
        let base = Base::from_safetensors(bytes).expect("a base");
        base.tensors.iter().map(|tensor| (tensor.name.clone(), tensor.data.to_f32().into_owned())).collect::<Vec<_>>()
    };
    let first = weights();
    let again = ["--steps", "30", "--learning-rate", "1e-2", "--threads", "2", "--overwrite", "--quiet"];
    place.succeed(&[&LITTLE[..], &again].concat());
    assert!(weights() == first, "the weights differ");

    place.refuse(&LITTLE, 2, &["`little.safetensors` exists", "--overwrite"]);
    let train =
        ["train", "--base", "little.safetensors", "--data", "words.txt", "--tokens", "32", "--steps", "2", "--quiet"];
    place.succeed(&train);
    let adapter = "results/adapters/init-a_lr4e-3_seed0";
    let spoken = place.succeed(&["generate", "--adapter", adapter, "--prompt", "the ", "--count", "12"]);
    assert_eq!(spoken.stdout.trim_end_matches('\n').len(), 12, "{:?}", spoken.stdout);
}

#[test]
fn an_adapter_changes_the_text_as_far_as_it_was_trained() {
    let place = Place::new();
    let rates = ["--learning-rates", "1e-30,1e-1", "--schemes", "init-a", "--seeds", "1", "--steps", "10", "--quiet"];
    let base = ["sweep", "--base", "nano", "--batch-size", "4", "--validation-examples", "4"];
    place.succeed(&[&base[..], &rates].concat());
    let prompt = ["--prompt", "Anna took the red cup.>", "--count", "40"];
    let speak = |flags: &[&str]| place.succeed(&[&["generate"], flags, &prompt[..]].concat()).stdout;
    let alone = speak(&["--base", "nano"]);
    // The adapter remembers its base.
    assert_eq!(speak(&["--adapter", "results/adapters/init-a_lr1e-30_seed0"]), alone);
    assert_ne!(speak(&["--adapter", "results/adapters/init-a_lr1e-1_seed0"]), alone);
    assert_eq!(speak(&["--base", "nano", "--temperature", "1"]), speak(&["--base", "nano", "--temperature", "1"]));
    assert_ne!(
        speak(&["--base", "nano", "--temperature", "1"]),
        speak(&["--base", "nano", "--temperature", "1", "--seed", "1"])
    );
    let long = ["generate", "--base", "nano", "--prompt", "Anna took the red cup.>", "--count", "200"];
    let line = place.succeed(&[&long[..], &["--stop-at-newline"]].concat()).stdout;
    assert!(line.ends_with('\n') && line.matches('\n').count() == 1, "{line:?}");
    assert!(place.succeed(&long).stdout.starts_with(&line), "{line:?}");

    let mut child = place
        .command(&["generate", "--base", "nano", "--count", "40"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    child.stdin.take().expect("a pipe").write_all(b"Anna took the red cup.>\n").expect("the binary reads");
    let output = child.wait_with_output().expect("the binary ends");
    assert_eq!(String::from_utf8_lossy(&output.stdout), alone);
}

#[test]
fn plan_and_schemes_are_printed() {
    let place = Place::new();
    let plan = place.succeed(&small("plan", &["--runs", "3"])).stdout;
    for words in ["K = 3 runs of B = 2 sequences", "lora_linear/forward", "cross_entropy/backward", "adamw"] {
        assert!(plan.contains(words), "{plan}");
    }
    let schemes = place.succeed(&["schemes"]).stdout;
    for scheme in loralab_core::lora::init::ALL {
        assert!(schemes.contains(scheme.name) && schemes.contains(scheme.about), "{schemes}");
        for option in scheme.options.iter().map(|option| option.described()) {
            assert!(
                schemes.contains(&format!("{}.{}={}", scheme.name, option.name, option.default.number())),
                "{schemes}"
            );
        }
    }
}

#[test]
fn a_rate_is_carried_over_to_another_width_and_rank() {
    let place = Place::new();
    let told = |flags: &[&str]| place.succeed(&[&["rate"], flags].concat()).stdout;
    // 4 times the width: a half for Init[A], whose rank does not matter where s is alpha/rank, and a quarter for Init[B] at the same s.
    let of_a = told(&["init-a", "--known", "2e-4@1024x8", "--for", "4096x32"]);
    assert!(of_a.starts_with("1.0e-4\n") && of_a.contains("arXiv 2602.06204"), "{of_a}");
    assert!(of_a.contains("--learning-rates 5.0e-5,1.0e-4,2.0e-4"), "{of_a}");
    assert!(told(&["init-b", "--known", "2e-4@1024x8", "--for", "4096x8"]).starts_with("5.0e-5\n"));
    // 16 times the rank under rsLoRA: r^(-1/4).
    let flags = ["init-a", "--known", "2e-4@64x4", "--for", "64x64", "--scaling", "rslora"];
    assert!(told(&flags).starts_with("1.0e-4\n"));
    place.refuse(&["rate", "pissa", "--known", "2e-4@64x4", "--for", "64x8"], 2, &["pissa", "init-b-kaiming"]);
    place.refuse(&["rate", "init-a", "--known", "2e-4", "--for", "64x8"], 2, &["2e-4@1024x8"]);
    place.refuse(&["rate", "init-a", "--known", "2e-4@64x4", "--for", "64"], 2, &["4096x32"]);
}
