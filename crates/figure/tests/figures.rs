//! Figures of made-up results: well-formed, complete, readable. `FIGURES=folder cargo test -p loralab-figure` writes them.

use loralab_experiment::{
    Accuracy, AdapterSnapshot, Cell, CrossingFound, Curve, Diagnosis, Diverged, Experiment, LayerStart, Point,
    RunResult, SchemeStart, Setting, StartCost, Summary,
};
use loralab_figure::{
    Figure, FigureError, crossing, lora_features, loss_by_learning_rate, loss_by_learning_rate_when, spectra,
    training_curves, training_curves_at,
};

const A: [f64; 7] = [0.347, 0.187, 0.110, 0.084, 0.111, 2.07, 2.80];
const B: [f64; 7] = [0.237, 0.143, 0.106, 0.183, 1.23, 1.98, 2.41];

fn setting() -> Setting {
    Setting {
        device: "cpu".to_owned(),
        wall_seconds: 90.0,
        base_loss: Some(3.42),
        base_accuracy: Some(0.0),
        accuracy: Accuracy::ExactMatch,
        bytes_per_token: None,
        validation_examples: Some(128),
        order: vec![],
    }
}

/// Runs at 1e-3 · 2ᵏ; infinity diverges.
fn runs(scheme: &str, losses: &[f64], seeds: u64) -> Vec<RunResult> {
    let mut runs = Vec::new();
    for (k, &loss) in losses.iter().enumerate() {
        for seed in 0..seeds {
            let finished = loss.is_finite() && !(loss > 2.7 && seed == 1);
            let spread = 1.0 + 0.05 * (seed as f64 - (seeds as f64 - 1.0) / 2.0) * (1 + k % 3) as f64;
            runs.push(RunResult {
                cell: Cell { scheme: scheme.to_owned(), learning_rate: 1e-3 * f64::from(1 << k), seed },
                final_loss: finished.then_some(loss * spread),
                accuracy: finished.then_some(0.5),
                classes: None,
                correlations: None,
                diverged: (!finished).then(|| Diverged { step: 12, tensor: "logits".to_owned() }),
                stopped: None,
                failed: None,
                start: None,
                evaluations: vec![],
                seconds: 3.0,
            });
        }
    }
    runs
}

/// A curve that falls from the base to its run's final loss, with a batch's noise.
fn curves(runs: &[RunResult], steps: usize) -> Vec<Curve> {
    let curve = |run: &RunResult| {
        let end = run.final_loss.unwrap_or(5.0);
        let at = |step: usize| end + (3.42 - end) * (-6.0 * step as f64 / steps as f64).exp();
        let noise = |step: usize| 1.0 + 0.3 * ((step * 7919 + run.cell.seed as usize * 104_729) % 101) as f64 / 101.0;
        Curve {
            cell: run.cell.clone(),
            training: (1..=steps).map(|step| Point { step, loss: at(step) * noise(step) }).collect(),
            validation: (1..=steps / 50).map(|n| Point { step: 50 * n, loss: at(50 * n) }).collect(),
            diverged: None,
            snapshots: vec![],
        }
    };
    runs.iter().map(curve).collect()
}

fn keep(name: &str, svg: &str) {
    if let Some(folder) = std::env::var_os("FIGURES") {
        std::fs::write(std::path::Path::new(&folder).join(name), svg).expect("the folder in FIGURES can be written");
    }
}

/// Every font size and every coordinate of a text, in pixels; and that tags close and nothing is NaN.
fn check(svg: &str) {
    assert!(svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"") && svg.ends_with("</svg>\n"));
    assert!(!svg.contains("NaN") && !svg.contains("inf\""), "{svg}");
    let attribute = |tag: &str, name: &str| -> f64 {
        let start = tag.find(&format!(" {name}=\"")).expect(name) + name.len() + 3;
        tag[start..].split('"').next().and_then(|value| value.parse().ok()).expect(name)
    };
    let root = svg.split('>').next().expect("there is a first tag");
    let (width, height) = (attribute(root, "width") * 4.0, attribute(root, "height") * 4.0);
    let texts: Vec<_> = svg.split("<text").skip(1).collect();
    assert!(texts.len() > 10);
    for text in texts {
        assert!(attribute(text, "font-size") >= 12.0 * 4.0, "{text}");
        assert!(
            (0.0..=width).contains(&attribute(text, "x")) && (0.0..=height).contains(&attribute(text, "y")),
            "{text}"
        );
    }
    assert_eq!(svg.matches("<text").count(), svg.matches("</text>").count());
}

#[test]
fn the_headline_figure() {
    let runs = [runs("init-a", &A, 2), runs("init-b", &B, 2)].concat();
    let summary = Summary::from_runs(setting(), &runs);
    let svg = loss_by_learning_rate(&summary).expect("there is something to draw").svg;
    check(&svg);
    keep("headline.svg", &svg);
    for text in [
        "init-a",
        "init-b",
        "learning rate",
        "nats per token",
        "6.4e-2",
        "0.084 at 8e-3",
        "base alone: 3.42",
        "a seed diverged",
        "optimum, 95 %",
        "within 1 s.e. of best",
    ] {
        assert!(svg.contains(text), "{text}");
    }
    // A ring for each scheme and one in the legend.
    assert_eq!(svg.matches("r=\"36\"").count(), 2);
    assert_eq!(svg.matches("r=\"28\"").count(), 1);
    assert!(svg.contains(&format!("<desc>{}</desc>", summary.sentence())));
    assert_eq!(loss_by_learning_rate(&summary).map(|figure| figure.svg), Ok(svg));
}

#[test]
fn the_training_figure() {
    let runs = [runs("init-a", &A, 2), runs("init-b", &B, 2)].concat();
    let summary = Summary::from_runs(setting(), &runs);
    let svg = training_curves(&summary, &curves(&runs, 200)).expect("there is something to draw").svg;
    check(&svg);
    keep("training.svg", &svg);
    for text in ["init-a at 8e-3", "init-b at 4e-3", "optimiser step", "loss (nats per token)", "200"] {
        assert!(svg.contains(text), "{text}");
    }
    // Two training curves and a validation curve for each panel, and its frame.
    assert!(svg.matches("<polyline").count() >= 8);
}

#[test]
fn what_a_start_read_is_part_of_the_time() {
    let mut runs = [runs("init-a", &A, 2), runs("eva", &B, 2)].concat();
    for run in runs.iter_mut().filter(|run| run.cell.scheme == "eva") {
        run.start = Some(StartCost { tokens: 51_200, steps: 100.0 });
    }
    let summary = Summary::from_runs(setting(), &runs);
    assert_eq!(summary.schemes[1].start.map(|start| start.tokens), Some(51_200));
    let Figure { svg, spots, .. } = training_curves(&summary, &curves(&runs, 200)).expect("there is something to draw");
    check(&svg);
    keep("training_after_a_start.svg", &svg);
    // Both panels reach to where the later one ends.
    assert!(svg.contains("after what the start read") && svg.contains("300"));
    let told = "eva at 4e-3: what the start reads, as much as 100 steps do";
    assert!(spots.iter().any(|spot| spot.text == told));
}

/// Looks into two adapters at every tenth step: features that grow from a start.
fn snapshots(start: f64) -> Vec<AdapterSnapshot> {
    let adapter = |step: usize, times: f64| Diagnosis {
        module: format!("model.layers.0.mlp.{}", if times > 1.0 { "up_proj" } else { "down_proj" }),
        z_a: times * start * (1.0 + step as f64 / 20.0),
        z_b: times * 0.002 * step as f64,
        z_a_length: 1.0,
        z_b_length: 1.0,
        delta_1: 0.0,
        delta_2: 0.0,
        delta_3: 0.0,
        a: 1.0,
        b: 1.0,
        product: 1.0,
        stable_rank: None,
        largest_singular_value: 1.0,
        gradient_a: 0.0,
        gradient_b: 0.0,
        update_a: None,
        update_b: None,
        alignment: None,
        below_epsilon_a: None,
        below_epsilon_b: None,
    };
    let adapters = |k| vec![adapter(10 * k, 0.5), adapter(10 * k, 2.0)];
    (1..=10).map(|k| AdapterSnapshot { step: 10 * k, kl_from_base: None, adapters: adapters(k) }).collect()
}

#[test]
fn features_are_drawn_on_the_same_scales() {
    let both = [runs("init-a", &[0.5], 1), runs("init-b", &[0.4], 1)].concat();
    let mut curves = curves(&both, 100);
    assert!(matches!(lora_features(&[&curves[0]], None), Err(FigureError::Nothing(_))));
    (curves[0].snapshots, curves[1].snapshots) = (snapshots(1.0), snapshots(0.1));
    let figure = lora_features(&[&curves[0], &curves[1]], None).expect("there is something to draw");
    check(&figure.svg);
    keep("features.svg", &figure.svg);
    for text in ["init-a at 1e-3", "init-b at 1e-3", "Z_A", "Z_B", "root mean square", "optimiser step"] {
        assert!(figure.svg.contains(text), "{text}");
    }
    // Both lines of both runs, at every snapshot; and a band around each.
    assert_eq!((figure.spots.len(), figure.svg.matches("<polygon").count() >= 4), (40, true));
    assert_eq!(figure.spots[9].text, "init-a at 1e-3, step 100: Z_A 3.00 (3.00 to 12.0)");
    // The same value has the same height in every panel.
    let height = |text: &str| figure.spots.iter().find(|spot| spot.text.starts_with(text)).expect(text).y;
    assert_eq!(height("init-a at 1e-3, step 50: Z_B"), height("init-b at 1e-3, step 50: Z_B"));
    assert!(height("init-a at 1e-3, step 50: Z_A") < height("init-b at 1e-3, step 50: Z_A"));
    let one = lora_features(&[&curves[0]], Some("model.layers.0.mlp.up_proj")).expect("there is one");
    assert!(one.svg.contains("the adapter of layers.0.mlp.up_proj") && one.spots[9].text.ends_with("Z_A 12.0"));
}

#[test]
fn spectra_of_starts_share_their_scales() {
    let start = |scheme: &str, size: f64, product: f64| {
        let layer = |times: f64| LayerStart {
            module: "model.layers.0.mlp.up_proj".to_owned(),
            rank: 4,
            a: 1.0,
            b: product,
            product,
            energy: 0.1,
            moved: 0.0,
            spectrum: (1..=4).map(|k| size * times / f64::from(k)).collect(),
        };
        let layers = [1.0, 2.0, 4.0].map(layer).to_vec();
        SchemeStart { scheme: scheme.to_owned(), scale: 2.0, layers, tokens: 0, seconds: 0.1 }
    };
    let starts = [start("init-a", 1.0, 0.0), start("pissa", 0.5, 0.3), start("nothing", 0.0, 0.0)];
    let all: Vec<_> = starts.iter().collect();
    assert!(matches!(spectra(&all[2..]), Err(FigureError::Nothing(_))));
    let figure = spectra(&all).expect("two have values");
    check(&figure.svg);
    keep("spectra.svg", &figure.svg);
    assert!(figure.svg.contains("init-a: A") && figure.svg.contains("pissa: s·BA") && !figure.svg.contains("nothing"));
    assert_eq!(figure.spots.len(), 8);
    assert_eq!(figure.spots[1].text, "init-a: A, value 2: 1.00 (0.500 to 2.00)");
    // The same value, the second of one and the first of the other, has the same height.
    assert_eq!(
        (figure.spots[1].y, figure.spots[4].text.as_str()),
        (figure.spots[4].y, "pissa: s·BA, value 1: 1.00 (0.500 to 2.00)")
    );
    assert!(figure.svg.matches("<polyline").count() >= 8);
    let many: Vec<_> = (0..27).map(|place| &starts[place % 2]).collect();
    let many = spectra(&many).expect("there is something to draw");
    check(&many.svg);
    keep("many_spectra.svg", &many.svg);
}

#[test]
fn values_can_be_pointed_at() {
    let runs = [runs("init-a", &A, 2), runs("init-b", &B, 2)].concat();
    let summary = Summary::from_runs(setting(), &runs);
    let headline = loss_by_learning_rate_when(&summary, "After 5 of 9 steps").expect("there is something to draw");
    assert!(headline.svg.contains("After 5 of 9 steps; means over 2 seeds"));
    // One of the rates lost a seed, and with it its mean.
    assert_eq!(headline.spots.len(), 13);
    assert_eq!(headline.spots[3].text, "init-a at 8e-3: 0.084 ± 0.002");
    let curves = curves(&runs, 200);
    let training = training_curves_at(1e-3, &summary, &curves).expect("there is something to draw");
    assert!(training.svg.contains("Training at the learning rate 1e-3"));
    assert!(training.spots.iter().any(|spot| spot.text.starts_with("init-a at 1e-3, 50 steps: validation 1.0")));
    assert!(training.spots.iter().any(|spot| spot.text.starts_with("init-b, seed 1, step 7: training ")));
    for spot in headline.spots.iter().chain(&training.spots) {
        assert!((0.0..1000.0).contains(&spot.x) && (0.0..600.0).contains(&spot.y), "{spot:?}");
    }
    assert!(matches!(training_curves_at(7.0, &summary, &curves), Err(FigureError::Nothing(_))));
}

#[test]
fn a_scheme_has_one_colour_in_every_figure_whatever_stands_beside_it() {
    const ORANGE: &str = "#D55E00";
    let alone = Summary::from_runs(setting(), &runs("init-b", &B, 2));
    let both = [runs("init-a", &A, 2), runs("init-b", &B, 2)].concat();
    let summary = Summary::from_runs(setting(), &both);
    let curves = curves(&both, 100);
    let headline = |summary: &Summary| loss_by_learning_rate(summary).expect("there is something to draw").svg;
    let training = |summary: &Summary| training_curves(summary, &curves).expect("there is something to draw").svg;
    for svg in [headline(&alone), headline(&summary), training(&alone), training(&summary)] {
        assert!(svg.contains(ORANGE));
    }
    assert!(!headline(&alone).contains("#0072B2") && !training(&alone).contains("#0072B2"));
    // Of eight, the last has the colour of the first, and dashes.
    let eight = ["init-a", "init-b", "init-ab", "pissa", "eva", "lora-ga", "lora-one", "hrp"];
    let runs: Vec<_> = eight.iter().flat_map(|scheme| runs(scheme, &A, 1)).collect();
    let svg = headline(&Summary::from_runs(setting(), &runs));
    check(&svg);
    keep("eight.svg", &svg);
    let lines =
        |colour: &str| svg.split("<polyline").filter(|line| line.contains(&format!("stroke=\"{colour}\""))).count();
    assert!(lines("#0072B2") > 3 * lines("#009E73"), "{} {}", lines("#0072B2"), lines("#009E73"));
}

#[test]
fn many_schemes_many_rates_and_odd_names() {
    let mut all = Vec::new();
    for scheme in 0..12_i32 {
        let losses: Vec<f64> =
            (0..16).map(|k| if k > 13 { f64::INFINITY } else { 0.05 + 0.02 * f64::from((k - scheme).abs()) }).collect();
        all.extend(runs(&format!("scheme <&> \"{scheme}\"\u{1}"), &losses, 5));
    }
    let summary = Summary::from_runs(setting(), &all);
    let svg = loss_by_learning_rate(&summary).expect("there is something to draw").svg;
    check(&svg);
    keep("many.svg", &svg);
    assert!(svg.contains("scheme &lt;&amp;&gt; &quot;3&quot;") && !svg.contains('\u{1}'));
    let svg = training_curves(&summary, &curves(&all, 2000)).expect("there is something to draw").svg;
    check(&svg);
    keep("many_training.svg", &svg);
}

#[test]
fn one_run_no_base_and_everything_diverged_are_drawn() {
    let one = Summary::from_runs(Setting { base_loss: None, ..setting() }, &runs("init-a", &[0.5], 1));
    let svg = loss_by_learning_rate(&one).expect("there is something to draw").svg;
    check(&svg);
    keep("one.svg", &svg);
    assert!(svg.contains("one seed") && !svg.contains("base alone") && !svg.contains("optimum, 95 %"));
    let svg = training_curves(&one, &curves(&runs("init-a", &[0.5], 1), 7)).expect("there is something to draw").svg;
    check(&svg);
    keep("one_training.svg", &svg);
    let blown = Summary::from_runs(setting(), &runs("init-a", &[f64::INFINITY; 3], 4));
    let svg = loss_by_learning_rate(&blown).expect("crosses can be drawn").svg;
    check(&svg);
    keep("blown.svg", &svg);
    assert!(svg.contains("diverged everywhere") && svg.contains("× 4"));
    assert!(matches!(training_curves(&blown, &[]), Err(FigureError::Nothing(_))));
}

#[test]
fn nothing_is_an_error_in_words() {
    let error = loss_by_learning_rate(&Summary::from_runs(setting(), &[])).expect_err("there is nothing");
    assert_eq!(error.to_string(), "there is nothing to draw: no run has come to its end.");
}

#[test]
fn losses_of_zero_or_of_any_size_stay_on_the_sheet() {
    for losses in [[0.0, 1.0, 0.5], [1e-12, 1e12, 1.0], [0.0, 0.0, 0.0]] {
        let all = runs("init-a", &losses, 2);
        let summary = Summary::from_runs(setting(), &all);
        check(&loss_by_learning_rate(&summary).expect("there is something to draw").svg);
        check(&training_curves(&summary, &curves(&all, 10)).expect("there is something to draw").svg);
    }
}

#[test]
fn a_crossing_is_drawn_with_the_ratio_of_the_losses() {
    let runs = [runs("init-a", &A, 3), runs("init-b", &B, 3)].concat();
    let found = CrossingFound::new(Summary::from_runs(setting(), &runs), Experiment::default(), &runs);
    assert!(found.pairs[0].crossing.is_some());
    let svg = crossing(&found).expect("there are losses");
    keep("crossing.svg", &svg);
    for words in ["ratio of losses", "crossing", "equal losses", "init-a / init-b", "base alone", "95 % intervals"] {
        assert!(svg.contains(words), "{words}");
    }
    let hopeless = crossed_out();
    let found = CrossingFound::new(Summary::from_runs(setting(), &hopeless), Experiment::default(), &hopeless);
    assert!(matches!(crossing(&found), Err(FigureError::Nothing(_))));
}

fn crossed_out() -> Vec<RunResult> {
    runs("init-a", &[f64::INFINITY], 1)
}

#[test]
fn of_many_seeds_some_are_drawn() {
    let drawn = |seeds: u64| {
        let runs = runs("init-a", &[0.5], seeds);
        let figure = training_curves(&Summary::from_runs(setting(), &runs), &curves(&runs, 20))
            .expect("there is something to draw");
        check(&figure.svg);
        let training = figure.spots.iter().filter(|spot| spot.text.contains("training")).count();
        (training, figure.svg.contains("training, each seed"))
    };
    assert_eq!((drawn(32), drawn(33), drawn(1000)), ((32 * 20, true), (17 * 20, false), (32 * 20, false)));
}
