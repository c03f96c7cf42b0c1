//! The paper's claims, measured again by the command.

use super::Place;

#[test]
fn exponents_are_written_as_numbers_and_as_a_page() {
    let place = Place::new();
    let flags = ["reproduce", "exponents", "--widest", "512", "--seeds", "2", "--json", "--output", "found"];
    let outcome = place.succeed(&flags);
    assert_eq!(outcome.stderr, "");
    let summary = place.json("found/summary.json");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&outcome.stdout).expect("JSON"), summary);
    assert_eq!(summary["kind"], "exponents");
    let cells = summary["cells"].as_array().expect("a list of cells");
    assert_eq!(cells.len(), 72);
    for cell in cells {
        let fit = cell["fits"].as_array().and_then(|fits| fits.last()).expect("a fit of the paper's widths");
        assert!(fit["slope"].is_f64() && cell["theory"].is_f64(), "{cell}");
        // Equal steps may cancel exactly where both factors are random.
        assert!(fit["interval"][0].is_f64() || cell["scheme"] == "init-ab", "{cell}");
        assert_eq!(cell["magnitudes"].as_array().map(Vec::len), Some(3));
    }
    assert!(summary["identity_error"].as_f64().is_some_and(|error| error < 1e-12));
    assert_eq!(summary["rate_laws"].as_array().map(Vec::len), Some(6));

    let page = place.read("found/report.html");
    for words in ["<svg", "init-ab", "Adam", "stable_rates.csv", "SHA-256", "95 %"] {
        assert!(page.contains(words), "{words}");
    }
    assert!(place.read("found/exponents_sign.csv").starts_with("start,γ of η,quantity,theory,"));
    // The report is made from the summary alone, and always alike.
    std::fs::remove_file(place.path("found/report.html")).expect("the report is a file");
    place.succeed(&["report", "found"]);
    assert_eq!(place.read("found/report.html"), page);

    place.refuse(&flags, 2, &["`found` exists and is not empty"]);
    place.refuse(&["reproduce", "exponents", "--widest", "1000"], 2, &["`--widest` is 1000", "power of two"]);
    place.refuse(&["report", "nowhere"], 1, &["there is no file of the results", "nowhere"]);
}

#[test]
fn the_papers_toy_comes_out_to_a_width_of_2048() {
    let place = Place::new();
    let flags = ["reproduce", "toy", "--device", "cpu", "--widest", "2048", "--readouts", "standard", "--quiet"];
    place.succeed(&[&flags[..], &["--output", "found"]].concat());
    let readout = &place.json("found/summary.json")["readouts"][0];
    let slopes: Vec<f64> = ["init-a", "init-b"]
        .iter()
        .map(|scheme| {
            let slopes = readout["slopes"].as_array().expect("a list of slopes");
            let slope = slopes.iter().find(|slope| slope["scheme"] == *scheme).expect("each start has one");
            slope["fit"]["slope"].as_f64().expect("a number")
        })
        .collect();
    // Init[A] wants the larger rate, and the wider the student the more so. With this readout its exponent is -3/4, not the single layer's -1/2.
    let ratio = |width: u64| {
        let widths = readout["widths"].as_array().expect("a list of widths");
        let found = widths.iter().find(|found| found["width"] == width).expect("it was swept");
        let comparison = &found["comparison"];
        let ratio = comparison["rate_ratio"].as_f64().expect("a number");
        if comparison["first"] == "init-a" { ratio } else { 1.0 / ratio }
    };
    assert!(ratio(1024) > 1.0 && ratio(2048) > 1.0, "{readout:#}");
    assert!((slopes[0] + 0.75).abs() < 0.15 && (slopes[1] + 1.0).abs() < 0.25, "{slopes:?}");
}

#[test]
fn students_are_swept_width_by_width_and_give_the_same_report_again() {
    let place = Place::new();
    let flags = |output| {
        [
            "reproduce",
            "toy",
            "--device",
            "cpu",
            "--widest",
            "256",
            "--seeds",
            "2",
            "--steps",
            "12",
            "--quiet",
            "--output",
            output,
        ]
    };
    let outcome = place.succeed(&flags("found"));
    assert!(outcome.stdout.contains("residual form, 12 steps, 2 seeds"), "{}", outcome.stdout);
    let summary = place.json("found/summary.json");
    let readouts = summary["readouts"].as_array().expect("a list of readouts");
    assert_eq!(readouts.iter().map(|readout| &readout["readout"]).collect::<Vec<_>>(), ["standard", "mean-field"]);
    for readout in readouts {
        assert_eq!(readout["slopes"].as_array().map(Vec::len), Some(2));
        for slope in readout["slopes"].as_array().expect("a list of slopes") {
            assert_eq!((slope["fit"]["from"].as_u64(), slope["fit"]["to"].as_u64()), (Some(128), Some(256)));
            assert!(slope["fit"]["slope"].is_f64() && slope["fit"]["interval"][1].is_f64());
        }
        for width in readout["widths"].as_array().expect("a list of widths") {
            for start in width["starts"].as_array().expect("a list of starts") {
                // The sweep goes on until the best rate has neighbours.
                assert_eq!(start["optimum"]["at_edge"], false, "{start}");
                assert_eq!(start["runs"].as_u64().map(|runs| runs >= 14), Some(true));
            }
        }
        let traces = readout["traces"].as_array().expect("a list of traces");
        assert_eq!(traces.len(), 4);
        for trace in traces {
            let steps = trace["steps"].as_array().expect("a list of steps").len();
            assert_eq!((steps, trace["z_a"].as_array().map(Vec::len)), (13, Some(2)));
            for name in ["z_a", "z_b", "train", "test"] {
                assert_eq!(trace[name][1].as_array().map(Vec::len), Some(steps), "{name}");
            }
        }
    }
    // The same again, however many threads and runs together: everything but the times and the threads.
    place.succeed(&[&flags("again")[..], &["--threads", "1", "--memory", "40MB"]].concat());
    let page = |folder: &str| {
        let page = place.read(&format!("{folder}/report.html"));
        let differs = |line: &&str| !["wall time", "<dt>device", "summary.json"].iter().any(|word| line.contains(word));
        page.lines().filter(differs).map(str::to_owned).collect::<Vec<_>>()
    };
    assert!(page("found").len() > 100);
    assert_eq!(page("again"), page("found"));

    let plain = [
        "reproduce",
        "toy",
        "--widest",
        "128",
        "--seeds",
        "1",
        "--steps",
        "2",
        "--form",
        "plain",
        "--readouts",
        "standard",
    ];
    let outcome = place.succeed(&[&plain[..], &["--quiet", "--output", "plain"]].concat());
    assert!(outcome.stdout.contains("nothing was learnt"), "{}", outcome.stdout);
    place.refuse(&["reproduce", "toy", "--widest", "100"], 2, &["`--widest` is 100", "power of two"]);
}

#[test]
fn a_sweep_has_a_report_too() {
    let place = Place::new();
    place.succeed(&super::small("sweep", &["--learning-rates", "1e-3,2e-3,4e-3", "--seeds", "3", "--quiet"]));
    let outcome = place.succeed(&["report", "results"]);
    assert!(outcome.stdout.contains("report.html"), "{}", outcome.stdout);
    let page = place.read("results/report.html");
    for words in [
        "A sweep of LoRA starts",
        "init-b",
        "target_modules",
        "experiment.toml",
        "comparisons.csv",
        "Each scheme at its best",
    ] {
        assert!(page.contains(words), "{words}");
    }
    let rows = place.read("results/rates.csv");
    assert_eq!(rows.lines().count(), 1 + 2 * 3, "{rows}");
    place.write("results/summary.json", "{}");
    place.refuse(&["report", "results"], 1, &["is not a summary that loralab wrote"]);
}

#[test]
fn crossing_curves_are_swept_and_told_with_where_they_cross() {
    let place = Place::new();
    let flags = [
        &[
            "reproduce",
            "crossing",
            "--base",
            "nano",
            "--steps",
            "60",
            "--batch-size",
            "4",
            "--validation-examples",
            "16",
        ][..],
        &["--learning-rates", "2.5e-4,1e-3,4e-3,1.6e-2,6.4e-2", "--seeds", "3", "--device", "cpu", "--output", "found"],
    ]
    .concat();
    let outcome = place.succeed(&[&flags[..], &["--json"]].concat());
    assert_eq!(outcome.stderr, "");
    let summary = place.json("found/summary.json");
    assert_eq!(serde_json::from_str::<serde_json::Value>(&outcome.stdout).expect("JSON"), summary);
    assert_eq!((summary["kind"].as_str(), summary["experiment"]["steps"].as_u64()), (Some("crossing"), Some(60)));
    assert_eq!(summary["schemes"].as_array().map(Vec::len), Some(2));
    let pair = &summary["pairs"][0];
    assert_eq!(pair["ratios"].as_array().map(Vec::len), Some(5));
    for ratio in pair["ratios"].as_array().expect("a list of ratios") {
        assert!(ratio["ratio"].is_f64() && ratio["interval"][1].is_f64(), "{ratio}");
    }
    let page = place.read("found/report.html");
    for words in ["Where the curves cross", "crossings.csv", "ratios.csv", "Each scheme at its best", "equal losses"] {
        assert!(page.contains(words), "{words}");
    }
    place.succeed(&["report", "found"]);
    assert_eq!(place.read("found/report.html"), page);
    place.refuse(&["reproduce", "crossing", "--learning-rates", "auto"], 2, &["list the rates"]);
}

#[test]
fn starts_are_probed_for_their_curvature_at_the_rate_that_a_sweep_finds() {
    let place = Place::new();
    let flags = [
        &[
            "reproduce",
            "curvature",
            "--base",
            "nano",
            "--steps",
            "3",
            "--batch-size",
            "2",
            "--validation-examples",
            "4",
        ][..],
        &["--schemes", "init-b,hrp", "--learning-rates", "1e-2,1e-1", "--seeds", "1", "--device", "cpu", "--quiet"],
        &["--batches", "1", "--products", "6", "--output", "found"],
    ]
    .concat();
    let outcome = place.succeed(&flags);
    assert!(outcome.stdout.contains("gradient descent is thrown out"), "{}", outcome.stdout);
    let summary = place.json("found/summary.json");
    assert_eq!(summary["kind"], "curvature");
    let starts = summary["starts"].as_array().expect("a list of starts");
    assert_eq!(starts.iter().map(|start| start["scheme"].as_str()).collect::<Vec<_>>(), [Some("init-b"), Some("hrp")]);
    for start in starts {
        // Both begin at the base, so they have its loss and not its curvature.
        assert_eq!(start["loss"], starts[0]["loss"]);
        assert!(start["sharpness"].as_f64().is_some_and(|x| x > 0.0) && start["products"] == 6, "{start}");
    }
    assert_ne!(starts[0]["sharpness"], starts[1]["sharpness"]);
    // The uncertainty that six products leave is reported.
    assert!(starts.iter().any(|start| start["residual"].as_f64() > start["sharpness"].as_f64().map(|x| 0.02 * x)));
    assert!(outcome.stdout.contains("λ is known only to "), "{}", outcome.stdout);
    let large = [&flags[..flags.len() - 4], &["--products", "1000", "--memory", "40MiB", "--output", "other"]].concat();
    place.refuse(&large, 2, &["init-b is computed in 64 bits on the CPU", "1000 products", "40", "lower `--products`"]);
    assert!(place.read("found/report.html").contains("The learning rate that the curvature at a start implies"));
}

#[test]
fn decoders_of_several_widths_are_pretrained_and_swept() {
    let place = Place::new();
    let flags = [
        &["reproduce", "transformer", "--widths", "16,32", "--layers", "1", "--pretraining-steps", "3"][..],
        &["--base", "nano", "--steps", "3", "--batch-size", "2", "--validation-examples", "4", "--seeds", "2"],
        &["--learning-rates", "1e-3,4e-3,1.6e-2", "--device", "cpu", "--quiet", "--output", "found"],
    ]
    .concat();
    let outcome = place.succeed(&flags);
    assert!(outcome.stdout.contains("their widths give no exponent"), "{}", outcome.stdout);
    let summary = place.json("found/summary.json");
    assert_eq!(summary["kind"], "transformer");
    let widths = summary["widths"].as_array().expect("a list of widths");
    assert_eq!(widths.iter().map(|width| width["width"].as_u64()).collect::<Vec<_>>(), [Some(16), Some(32)]);
    for width in widths {
        assert!(width["pretraining_loss"].as_f64().is_some_and(|loss| loss > 0.5 && loss < 6.0), "{width}");
        assert_eq!(width["summary"]["schemes"].as_array().map(Vec::len), Some(2));
    }
    assert_eq!(summary["shipped"]["experiment"]["base"], "nano");
    let page = place.read("found/report.html");
    for words in ["The learning rate each start wants", "optima.csv", "The shipped base", "width 32", "SHA-256"] {
        assert!(page.contains(words), "{words}");
    }
    // A pretrained base can be used on its own, and each sweep has its folder.
    assert!(place.path("found/width-32/summary.json").is_file() && place.path("found/shipped/metrics.jsonl").is_file());
    place.succeed(&small_on("found/width-16.safetensors"));
    place.refuse(&["reproduce", "transformer", "--widths", "20"], 2, &["`--widths` has 20", "multiple of 16"]);
    place.refuse(&["reproduce", "transformer", "--widths", "64,32"], 2, &["must rise"]);
}

fn small_on(base: &str) -> [&str; 10] {
    ["train", "--base", base, "--steps", "2", "--batch-size", "2", "--validation-examples", "4", "--quiet"]
}
