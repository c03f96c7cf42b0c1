use super::*;
use crate::config::table::KEYS;

const SCHEMES: &[&str] = &["init-a", "init-b", "init-ab", "eva"];

fn resolve(text: &str) -> Result<Resolved, ExperimentError> {
    Experiment::from_toml(text).expect(text).resolve(SCHEMES)
}

fn refusal(text: &str) -> String {
    resolve(text).expect_err(text).to_string()
}

#[test]
fn the_default_is_the_headline_sweep() {
    let resolved = resolve("").expect("the default is right");
    assert_eq!(resolved.base, Base::Tiny);
    assert_eq!(resolved.data, Data::Task(Task::Translation));
    assert_eq!(resolved.learning_rates, [1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2, 3.2e-2, 6.4e-2]);
    assert_eq!(resolved.cells().len(), 28);
    assert_eq!(resolved.scale(), 2.0);
    assert_eq!(resolved.target_modules, None);
    assert_eq!(resolved.optimizer, Optimizer::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 });
    assert_eq!(resolved.max_grad_norm, Some(1.0));
    assert_eq!((resolved.steps, resolved.batch_size, resolved.tokens), (200, 8, 64));
    let factors = [(0, 200), (100, 200), (50, 100), (100, 100)].map(|(step, of)| resolved.schedule_factor(step, of));
    assert_eq!(factors, [1.0, 0.5, 0.5, 0.0]);
}

#[test]
fn the_defaults_that_are_told_are_those_that_are_taken() {
    let in_words = ["learning_rates", "cohort", "memory", "threads"];
    for optimizer in ["adamw", "sgd"] {
        let taken = resolve(&format!("optimizer = '{optimizer}'")).expect("a name").to_experiment();
        for (name, text) in taken.settings().into_iter().filter(|(name, _)| !in_words.contains(name)) {
            let key = KEYS.iter().find(|key| key.name == name).expect("it is a setting");
            assert_eq!(text, if name == "optimizer" { optimizer } else { key.default }, "{name}");
        }
    }
}

#[test]
fn a_resolved_experiment_written_out_is_itself() {
    let texts = [
        "",
        "base = 'nano'\ntask = 'arithmetic'\noptimizer = 'sgd'\nmomentum = 0.5\nmax_grad_norm = 0",
        "base = 'some/model'\ndata = 'x.jsonl'\noptimizer = 'sign_sgd'\ncohort = 3\nmemory = '1.5GiB'\nthreads = 2",
        "seeds = 5\nlearning_rates = [3e-4, 1]\nscaling = 'rslora'\nschedule = 'cosine'\nwarmup_steps = 20",
        "scheme_options = ['eva.rho=1', 'eva.tau=0.001']\npreconditioner = 'nora_plus'",
        "schemes = 'init-ab'\ntarget_modules = ['v_proj', 'q_proj']\nepsilon = 1e-30\nseeds = [9007199254740991]",
    ];
    for text in texts {
        let resolved = resolve(text).expect(text);
        let written = resolved.to_experiment().to_toml();
        assert_eq!(resolve(&written).as_ref(), Ok(&resolved), "{written}");
    }
}

#[test]
fn every_example_in_the_error_messages_is_right() {
    for key in KEYS {
        let with = match key.name {
            "momentum" => "optimizer = 'sgd'\n",
            "fields" => "data = 'a.jsonl'\n",
            "layers_pattern" => "layers_to_transform = [0]\n",
            _ => "",
        };
        resolve(&format!("{with}{}", key.example)).unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
fn values_out_of_range_are_sentences() {
    assert_eq!(
        refusal("rank = 0"),
        "`rank` is 0, but it must be a whole number of at least 1; for example `rank = 8`."
    );
    for (text, found) in [
        ("learning_rates = -1", "-1"),
        ("learning_rates = [1e-3, nan]", "NaN"),
        ("learning_rates = inf", "inf"),
        ("learning_rates = 0", "0"),
        ("learning_rates = 1e-60", "1e-60"),
        ("alpha = 0", "0"),
        ("alpha = nan", "NaN"),
        ("beta1 = 1", "1"),
        ("beta1 = 0.99999999", "0.99999999"),
        ("beta2 = -0.1", "-0.1"),
        ("beta2 = 0.99999999", "0.99999999"),
        ("epsilon = 0", "0"),
        ("optimizer = 'sgd'\nmomentum = 1.5", "1.5"),
        ("optimizer = 'sgd'\nmomentum = 0.99999998", "0.99999998"),
        ("weight_decay = -1", "-1"),
        ("weight_decay = inf", "inf"),
        ("weight_decay = 1e39", "1e39"),
        ("weight_decay = 1e-50", "1e-50"),
        ("learning_rate_ratio = 0", "0"),
        ("max_grad_norm = -1", "-1"),
        ("max_grad_norm = nan", "NaN"),
        ("max_grad_norm = 1e-50", "1e-50"),
        ("steps = 0", "0"),
        ("batch_size = 0", "0"),
        ("gradient_accumulation = 0", "0"),
        ("tokens = 0", "0"),
        ("validation_examples = 0", "0"),
        ("cohort = 0", "0"),
        ("threads = 0", "0"),
        ("memory = 0", "0"),
        ("base = ''", "\"\""),
        ("data = ''", "\"\""),
        ("seeds = [9007199254740992]", "9007199254740992"),
    ] {
        let name = text.lines().last().and_then(|line| line.split(' ').next()).expect("a setting is named");
        let error = refusal(text);
        assert!(error.starts_with(&format!("`{name}` is {found}, but it must be ")), "{text}: {error}");
        assert!(error.contains(&format!("; for example `{name} = ")), "{text}: {error}");
    }
}

#[test]
fn unknown_names_give_the_nearest() {
    for (text, meant) in [
        ("schemes = ['init-a', 'initb']", "init-b"),
        ("optimizer = 'adam'", "adamw"),
        ("schedule = 'cosin'", "cosine"),
        ("task = 'question'", "questions"),
        ("scaling = 'rs-lora'", "rslora"),
        ("scheme_options = ['evaa.rho=1']", "eva"),
        ("preconditioner = 'riemanian'", "riemannian"),
    ] {
        let error = refusal(text);
        assert!(error.contains(&format!("Did you mean \"{meant}\"?")), "{error}");
    }
    assert_eq!(
        refusal("schemes = 'magic'"),
        "`schemes` has \"magic\", which is unknown. The known names are init-a, init-b, init-ab, eva."
    );
}

#[test]
fn an_empty_doubled_or_huge_grid_is_refused() {
    assert_eq!(
        refusal("schemes = []"),
        "`schemes` is empty, so there is nothing to run. Give at least one; for example `schemes = [\"init-a\", \"init-b\"]`."
    );
    for text in ["learning_rates = []", "seeds = []", "seeds = 0", "target_modules = []"] {
        assert!(refusal(text).contains("is empty"), "{text}");
    }
    assert_eq!(
        refusal("learning_rates = [1e-3, 0.001]"),
        "`learning_rates` has 1e-3 twice, which would be the same run twice. Remove one of them."
    );
    for text in ["schemes = ['init-a', 'init-a']", "seeds = [3, 1, 3]", "target_modules = ['q_proj', 'q_proj']"] {
        assert!(refusal(text).contains(" twice"), "{text}");
    }
    let huge = refusal("seeds = 1000000000000");
    assert!(huge.starts_with("the grid has 14000000000000 runs (2 schemes × 7 learning rates × "), "{huge}");
}

#[test]
fn settings_that_exclude_each_other_are_refused() {
    assert_eq!(
        refusal("task = 'questions'\ndata = 'a.txt'"),
        "`task` is \"questions\" and `data` is \"a.txt\", but a run learns either a task or a file. Remove one of the two."
    );
    assert_eq!(
        refusal("momentum = 0.9"),
        "`momentum` is 0.9 and `optimizer` is \"adamw\", but that optimizer has no such option. Remove `momentum`, or \
         set `optimizer = \"sgd\"`."
    );
    assert_eq!(
        refusal("steps = 5\nwarmup_steps = 6"),
        "`warmup_steps` is 6 and `steps` is 5, but the warm-up cannot be longer than the training. Set \
         `warmup_steps` to at most 5, or raise `steps`."
    );
    assert!(resolve("steps = 5\nwarmup_steps = 5").is_ok());
    assert!(refusal("optimizer = 'sign_sgd'\npreconditioner = 'riemannian'").contains("gradient descent and Adam"));
    assert!(resolve("optimizer = 'sgd'\npreconditioner = 'riemannian'").is_ok());
    assert!(refusal("scheme_options = ['eva.rho=1', 'eva.rho=2']").contains("eva.rho twice"));
    assert!(
        refusal("scheme_options = 'eva.rho'").starts_with("`scheme_options` is \"eva.rho\", but it must be a list")
    );
}

#[test]
fn modules_are_put_in_order_and_all_linear_is_all() {
    let resolved = resolve("target_modules = ['up_proj', 'q_proj']").expect("both are known");
    let known = ["q_proj", "v_proj", "up_proj"].map(str::to_owned);
    assert_eq!(resolved.targets(&known), Ok(vec!["q_proj".to_owned(), "up_proj".to_owned()]));
    let all = resolve("target_modules = 'all-linear'").expect("PEFT's word");
    assert_eq!((&all.target_modules, all.targets(&known)), (&None, Ok(known.to_vec())));
    let unknown = resolve("target_modules = ['q_prj']").expect("a model decides").targets(&known);
    let sentence = unknown.expect_err("no such module").to_string();
    assert!(sentence.contains("q_prj") && sentence.contains("\"q_proj\""), "{sentence}");
}

#[test]
fn validation_falls_on_its_steps_and_on_the_last() {
    let at = |text: &str| -> Vec<usize> {
        let resolved = resolve(text).expect(text);
        (0..=resolved.steps).filter(|&done| resolved.evaluates_after(done)).collect()
    };
    assert_eq!(at("steps = 120"), [50, 100, 120]);
    assert_eq!(at("steps = 7\nevaluate_every = 0"), [7]);
    assert_eq!(at("steps = 2\nevaluate_every = 1"), [1, 2]);
}
