//! The command on a GPU; a software one will do.

use super::{Place, SMALL, small};

#[test]
fn devices_are_listed_with_what_auto_takes() {
    let listed = Place::new().succeed(&["devices"]).stdout;
    for said in ["cpu\n", "threads", "gpu:", "a binding", "`--device auto` takes"] {
        assert!(listed.contains(said), "«{said}» is not in:\n{listed}");
    }
}

/// Vulkan lists no GPU of NVIDIA where the tests run, and a software one is not taken in its place.
#[test]
fn a_gpu_that_the_engine_gave_is_not_replaced_by_another() {
    let place = Place::new();
    let run = |device: &str, given: &str| {
        let flags = ["--learning-rates", "1e-3", "--seeds", "1", "--device", device, "--dry-run"];
        let output = place.command(&small("sweep", &flags)).env("CUDA_VISIBLE_DEVICES", given).output();
        let output = output.expect("the binary runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = run("gpu", "0");
    assert!(code == Some(1) && said.contains("`CUDA_VISIBLE_DEVICES=0` names GPUs of NVIDIA"), "{code:?}: {said}");
    for (device, given) in [("gpu:0", "0"), ("gpu", ""), ("cpu", "0")] {
        let (code, said) = run(device, given);
        assert_eq!(code, Some(0), "{device}, {given}: {said}");
    }
}

#[test]
fn every_kernel_of_a_step_is_verified() {
    // The last begins by what the GPU says of the weights.
    for schemes in ["init-a,init-ab-subtract", "pissa-niter-4"] {
        let flags = ["--device", "gpu", "--list", "--batch-size", "1", "--schemes", schemes, "--seeds", "1"];
        let verdict = Place::new().succeed(&[&["verify"], &flags[..]].concat()).stdout;
        let passed = verdict.contains("attention/backward_input") && verdict.contains("are within their bounds");
        assert!(passed, "{schemes}: {verdict}");
    }
}

#[test]
fn preconditioned_steps_find_on_a_gpu_what_they_find_on_a_cpu() {
    let place = Place::new();
    for preconditioner in ["none", "riemannian", "nora_plus"] {
        let flags =
            ["--preconditioner", preconditioner, "--learning-rates", "1e-3", "--seeds", "1", "--quiet", "--overwrite"];
        let [gpu, cpu] = ["gpu", "cpu"].map(|device| {
            place.succeed(&[&["sweep"], &SMALL[..], &flags, &["--device", device]].concat());
            place.json("results/summary.json")["schemes"][0]["best_loss"].as_f64().expect("a loss")
        });
        assert!((gpu / cpu - 1.0).abs() < 1e-3, "{preconditioner}: {gpu} {cpu}");
    }
}

#[test]
fn a_sweep_on_a_gpu_says_so_and_finds_what_the_cpu_finds() {
    let place = Place::new();
    let [gpu, cpu] = ["gpu", "cpu"].map(|device| {
        let flags =
            ["--learning-rates", "1e-3,4e-3", "--seeds", "1", "--quiet", "--device", device, "--output", device];
        place.succeed(&[&["sweep"], &SMALL[..], &flags].concat());
        place.json(&format!("{device}/summary.json"))
    });
    assert!(cpu["device"].as_str().is_some_and(|device| device.starts_with("CPU")), "{cpu}");
    assert!(gpu["device"].as_str().is_some_and(|device| !device.starts_with("CPU")), "{gpu}");
    let schemes = |summary: &serde_json::Value| summary["schemes"].as_array().cloned().expect("a list");
    for (gpu, cpu) in schemes(&gpu).iter().zip(&schemes(&cpu)) {
        let [found, expected] = [gpu, cpu].map(|scheme| scheme["best_loss"].as_f64().expect("a loss"));
        assert!((found - expected).abs() <= 1e-4 * expected, "{found} on the GPU, {expected} on the CPU");
        assert_eq!(gpu["best_learning_rate"], cpu["best_learning_rate"]);
    }
}

#[test]
fn tiles_are_timed_once_kept_and_used_again() {
    let place = Place::new();
    let sweep = |tiles: &str, output: &str| {
        let flags = ["--learning-rates", "4e-3", "--seeds", "1", "--quiet", "--device", "gpu"];
        place.succeed(&small("sweep", &[&flags[..], &["--tiles", tiles, "--output", output]].concat()));
        (place.read(&format!("{output}/tiles.txt")), place.json(&format!("{output}/summary.json"))["schemes"].clone())
    };
    let first = sweep("timed", "first");
    assert!(first.0.starts_with("# tiles of ") && first.0.contains("lora_linear/forward 128x32x32"), "{}", first.0);
    // A file that says what no timing could is used as it is.
    let other = first.0.replace("\n64x64 ", "\n128x64 ").replace("\n128x128 ", "\n128x64 ");
    place.write("chosen.txt", &other);
    assert_eq!(sweep("chosen.txt", "second").0, other);
    assert_eq!(sweep("timed", "third"), first, "what was kept is timed again, or gives another result");
    assert_eq!(sweep("first/tiles.txt", "fourth"), first, "the same tiles give another result");
    place.write("foreign.txt", "# tiles of another GPU\n");
    let sweep = ["sweep", "--device", "gpu", "--tiles"];
    place.refuse(&[&sweep[..], &["32x32"]].concat(), 2, &["neither 64x64", "nor a file"]);
    place.refuse(&[&sweep[..], &["foreign.txt"]].concat(), 1, &["`foreign.txt`", "`--tiles timed`"]);
}

#[test]
fn a_text_is_continued_on_a_gpu_as_on_the_cpu() {
    let place = Place::new();
    let text = |device: &str| {
        let flags = ["--base", "nano", "--prompt", "Emma ", "--count", "12", "--device", device];
        place.succeed(&[&["generate"], &flags[..]].concat()).stdout
    };
    assert_eq!(text("gpu"), text("cpu"));
}

#[test]
fn a_device_that_is_not_there_is_a_sentence() {
    let place = Place::new();
    for (arguments, code, said) in [
        (&["sweep", "--device", "cuda"][..], 2, "auto, cpu, gpu, or gpu:"),
        (&["sweep", "--device", "gpu:no such card"], 1, "no GPU is called `no such card`"),
        (&["generate", "--prompt", "a", "--device", "gpu:no such card"], 1, "`loralab devices` lists them"),
        (&["verify", "--device", "cpu"], 2, "there is no real GPU here to be verified"),
        (&["sweep", "--device", "gpu", "--memory", "1MiB"], 2, "may be used"),
    ] {
        let outcome = place.run(arguments);
        assert_eq!(outcome.code, code, "{arguments:?}: {}", outcome.stderr);
        assert!(outcome.stderr.contains(said), "{arguments:?}: {}", outcome.stderr);
    }
}
