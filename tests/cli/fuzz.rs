//! `init`, `generate` and `sweep` on damaged files and senseless numbers: a result or a sentence, soon, and in little memory.
//!
//! `LORALAB_FUZZ_SECONDS` says how long each of them is tried; a case that fails is told with what it was made of, and its files are kept.

use std::{
    env, fs,
    process::Stdio,
    time::{Duration, Instant},
};

use loralab_linalg::Draws;

use super::{Place, generate, mutate::mutate};

/// The most a command may take.
const LONGEST: Duration = Duration::from_secs(30);
/// KiB of addresses that it gets.
const MEMORY: &str = "1048576";

/// Tries cases for as long as is asked for, and no fewer than a few.
fn for_a_while(mut case: impl FnMut(u64)) {
    let seconds = env::var("LORALAB_FUZZ_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(2.0);
    let (began, mut done) = (Instant::now(), 0);
    while done < 8 || began.elapsed() < Duration::from_secs_f64(seconds) {
        case(done);
        done += 1;
    }
    println!("{done} cases in {:.0} s", began.elapsed().as_secs_f64());
}

/// Runs a command with a bound on time and memory; it must succeed, or end with a sentence.
fn hold(place: &Place, arguments: &[String], case: u64) -> i32 {
    let (out, err) = (place.path("stdout"), place.path("stderr"));
    let file = |path| Stdio::from(fs::File::create(path).expect("a file"));
    let mut command = std::process::Command::new("sh");
    command.args(["-c", "ulimit -v \"$0\" && exec \"$@\"", MEMORY, env!("CARGO_BIN_EXE_loralab")]);
    command.args(arguments).current_dir(place.path("")).stdin(Stdio::null()).stdout(file(&out)).stderr(file(&err));
    let mut child = command.spawn().expect("a shell");
    let began = Instant::now();
    let status = loop {
        match child.try_wait().expect("a child") {
            Some(status) => break Ok(status),
            None if began.elapsed() > LONGEST => {
                child.kill().expect("a child");
                break Err(child.wait());
            }
            None => std::thread::sleep(Duration::from_millis(2)),
        }
    };
    let said = String::from_utf8_lossy(&fs::read(&err).expect("what it said")).into_owned();
    let code = status.as_ref().ok().and_then(std::process::ExitStatus::code);
    let is_sound = match code {
        Some(0) => true,
        Some(1 | 2) => said.contains("error: ") && !said.contains("panicked"),
        _ => false,
    };
    if !is_sound {
        let kept = env::temp_dir().join(format!("loralab-fuzz-{case}"));
        let _ = fs::remove_dir_all(&kept);
        fs::rename(place.path(""), &kept).expect("the case is kept");
        panic!("case {case}: {arguments:?} ended with {status:?} in `{}`: {said}", kept.display());
    }
    code.unwrap_or(-1)
}

/// A safetensors file damaged anywhere, or in its header alone, whose length is then right.
fn damaged(file: &[u8], draws: &mut Draws) -> Vec<u8> {
    if draws.below(3) == 0 {
        return mutate(file, draws);
    }
    let length = u64::from_le_bytes(file[..8].try_into().expect("eight bytes")) as usize;
    let header = mutate(&file[8..8 + length], draws);
    [&(header.len() as u64).to_le_bytes()[..], &header, &file[8 + length..]].concat()
}

fn chosen<'a>(draws: &mut Draws, texts: &[&'a str]) -> &'a str {
    texts[draws.below(texts.len() as u32) as usize]
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

#[test]
fn init_answers_whatever_it_is_given() {
    let sound = generate::base(generate::mixed);
    let text = "the cat sat on the mat and the dog sat on the log. ".repeat(12);
    let lines = (0..12).map(|i| format!("{{\"prompt\": \"{i} and \", \"completion\": \"{} \\n\"}}\n", i + 1));
    let lines: String = lines.collect();
    for_a_while(|case| {
        let mut draws = Draws::new(case, "init");
        let place = Place::new();
        let base = if draws.below(3) == 0 { sound.clone() } else { damaged(&sound, &mut draws) };
        place.write("base.safetensors", base);
        let scheme = chosen(
            &mut draws,
            &[
                "pissa",
                "olora",
                "init-ab-subtract",
                "peft-false",
                "mica",
                "loftq-nf4",
                "loftq-int8",
                "eva",
                "sylvester-pca",
                "lora-ga",
                "hrp",
                "nora",
                "orthogonal",
                "activation-shift",
            ],
        );
        let rank = chosen(&mut draws, &["1", "2", "2", "8", "64", "0", "1000000000", "18446744073709551615"]);
        let alpha = chosen(&mut draws, &["16", "16", "0", "1e-45", "1e38", "1e39", "1e308", "nan", "-1"]);
        let data = chosen(&mut draws, &["text.txt", "lines.jsonl"]);
        let whole = if data == "text.txt" { &text } else { &lines };
        let damaged = draws.below(2) == 0;
        place.write(data, if damaged { mutate(whole.as_bytes(), &mut draws) } else { whole.clone().into_bytes() });
        let command = format!(
            "init {scheme} --base base.safetensors --rank {rank} --alpha={alpha} --data {data} --tokens 16 --batch-size 2 --output out --device cpu --threads 1"
        );
        let mut arguments = words(&command);
        arguments.extend((draws.below(4) == 0).then(|| "--residual-base".to_owned()));
        let code = hold(&place, &arguments, case);
        let [out, partial] = ["out", ".out.partial"].map(|name| place.path(name).exists());
        assert!(out == (code == 0) && !partial, "case {case}: {arguments:?} left half a start");
    });
}

#[test]
fn generate_answers_whatever_it_is_given() {
    let made = Place::new();
    let sound = generate::base(generate::mixed);
    made.write("base.safetensors", &sound);
    let starts = [("plain", "peft-false"), ("wide", "pissa"), ("ranks", "eva"), ("quantised", "loftq-nf4")];
    for (name, scheme) in starts {
        let command =
            format!("init {scheme} --base base.safetensors --rank 2 --tokens 16 --data text.txt --output {name}");
        made.write("text.txt", "the cat sat on the mat and the dog sat on the log. ".repeat(12));
        made.succeed(&words(&command).iter().map(String::as_str).collect::<Vec<_>>());
    }
    let read = |name: &str, file: &str| fs::read(made.path(&format!("{name}/{file}"))).expect("a file");
    for_a_while(|case| {
        let mut draws = Draws::new(case, "generate");
        let place = Place::new();
        let (name, _) = starts[draws.below(4) as usize];
        let [mut config, mut tensors] =
            ["adapter_config.json", "adapter_model.safetensors"].map(|file| read(name, file));
        let mut base = sound.clone();
        match draws.below(4) {
            0 => base = damaged(&base, &mut draws),
            1 => tensors = damaged(&tensors, &mut draws),
            2 => config = mutate(&config, &mut draws),
            _ => {
                let patterns = chosen(
                    &mut draws,
                    &[
                        r#"{"q.proj": 3}"#,
                        r#"{"(": 3}"#,
                        r#"{"(a*)*b": 3}"#,
                        r#"{"((((((.{9}){9}){9}){9}){9}){9}){9}": 3}"#,
                        r#"{"q_proj": 1e308}"#,
                        r#"{"q_proj": -0.0}"#,
                        r#"{"q_proj": 1e400}"#,
                        "[]",
                        "7",
                        r#"{"": 1}"#,
                    ],
                );
                let text = String::from_utf8_lossy(&config)
                    .replace("\"alpha_pattern\": {}", &format!("\"alpha_pattern\": {patterns}"));
                let alpha = chosen(&mut draws, &["16", "0", "1e39", "-1e38", "1e-320"]);
                config = text.replace("\"lora_alpha\": 16", &format!("\"lora_alpha\": {alpha}")).into_bytes();
            }
        }
        place.write("base.safetensors", base);
        fs::create_dir(place.path("adapter")).expect("a folder");
        place.write("adapter/adapter_config.json", config);
        place.write("adapter/adapter_model.safetensors", tensors);
        let temperature = chosen(&mut draws, &["0", "1", "1e-320", "1e300"]);
        let command = format!(
            "generate --base base.safetensors --adapter adapter --prompt ab --count 2 --device cpu --threads 1 --temperature {temperature}"
        );
        hold(&place, &words(&command), case);
    });
}

/// A config file with every kind of value.
const CONFIG: &str = "base = \"base.safetensors\"\ndata = \"lines.jsonl\"\nschemes = [\"init-a\", \"eva\", \"pissa\"]\nscheme_options = [\"eva.rho=1.5\"]\n\
    learning_rates = [1e-3, 2e-3]\nseeds = 2\nrank = 2\nalpha = 16.0\nscaling = \"rslora\"\ntarget_modules = [\"q_proj\", \"down_proj\"]\n\
    optimizer = \"adamw\"\nbeta1 = 0.9\nbeta2 = 0.999\nepsilon = 1e-8\nweight_decay = 0.01\nlearning_rate_ratio = 2.0\nmax_grad_norm = 1.0\n\
    schedule = \"cosine\"\nwarmup_steps = 1\nsteps = 2\nbatch_size = 2\ntokens = 16\nevaluate_every = 1\ndiagnose_every = 1\n\
    validation_examples = 4\ncohort = 3\nmemory = \"200MiB\"\nthreads = 1\n";

#[test]
fn sweep_answers_whatever_it_is_given() {
    let sound = generate::base(generate::mixed);
    let text = "the cat sat on the mat and the dog sat on the log. ".repeat(12);
    let lines: String =
        (0..12).map(|i| format!("{{\"prompt\": \"{i} and \", \"completion\": \"{} \\n\"}}\n", i + 1)).collect();
    for_a_while(|case| {
        let mut draws = Draws::new(case, "sweep");
        let place = Place::new();
        let (mut base, mut config) = (sound.clone(), CONFIG.as_bytes().to_vec());
        let data = chosen(&mut draws, &["text.txt", "lines.jsonl", "lines.json", "table.csv", "nameless"]);
        let mut contents = if draws.below(2) == 0 { &text } else { &lines }.clone().into_bytes();
        // The size of the work may be a sensible wish; it is only told then, or kept small.
        let rest = match draws.below(4) {
            0 => {
                base = damaged(&base, &mut draws);
                "--memory 200MiB"
            }
            1 => {
                contents = mutate(&contents, &mut draws);
                "--memory 200MiB"
            }
            2 => {
                config = mutate(&config, &mut draws);
                "--dry-run"
            }
            _ => {
                config = mutate(&config, &mut draws);
                "--steps 2 --batch-size 2 --tokens 16 --seeds 2 --learning-rates 1e-3,1e30 --validation-examples 4 --memory 200MiB --threads 1"
            }
        };
        place.write("base.safetensors", base);
        place.write("config.toml", config);
        place.write("lines.jsonl", &lines);
        place.write(data, contents);
        let command = format!(
            "sweep --config config.toml --base base.safetensors --data {data} --output out --device cpu {rest}"
        );
        let code = hold(&place, &words(&command), case);
        assert!(code != 2 || !place.path("out").exists(), "case {case}: {command} is refused, and has written");
    });
}

#[test]
fn data_of_every_format_are_answered() {
    let line = |i| format!("{{\"prompt\": \"{i} and \", \"completion\": \"{} \\n\"}}\n", i + 1);
    let lines: String = (0..12).map(line).collect();
    let chat = "{\"messages\": [{\"role\": \"user\", \"content\": \"so?\"}, {\"role\": \"assistant\", \"content\": \"no\"}]}\n".repeat(3);
    let glue = "{\"idx\": 1, \"sentence\": \"so\", \"label\": 0.5}\n{\"idx\": 2, \"sentence\": \"no\", \"label\": 1}\n"
        .repeat(3);
    let rows: String = (0..12).map(|i| format!("\"{i} and\",{i}\n")).collect();
    let table = format!("prompt,completion\n{rows}");
    let list = format!("[{}]", lines.trim_end().replace('\n', ","));
    let kinds = [
        ("lines.jsonl", lines.clone()),
        ("chat", chat),
        ("glue.txt", glue),
        ("list.json", list.clone()),
        ("data.json", format!("{{\"version\": 1, \"data\": {list}}}")),
        ("table.csv", table.clone()),
        ("table", table.replace(',', "\t")),
        ("rows.tsv", rows.replace(',', "\t")),
    ]
    .map(|(name, contents)| (name, contents.into_bytes()));
    let columns = concat!(env!("CARGO_MANIFEST_DIR"), "/crates/data/tests/fixtures/pairs.parquet");
    let columns = ("columns", fs::read(columns).expect("a file of the tree"));
    let kinds: Vec<(&str, Vec<u8>)> = kinds.into_iter().chain([columns]).collect();
    for_a_while(|case| {
        let mut draws = Draws::new(case, "data");
        let place = Place::new();
        let (name, contents) = &kinds[draws.below(kinds.len() as u32) as usize];
        place.write(name, mutate(contents, &mut draws));
        place.write("validation", mutate(lines.as_bytes(), &mut draws));
        let flags = chosen(
            &mut draws,
            &[
                "",
                "--truncate",
                "--skip-long",
                "--validation validation",
                "--validation 50%",
                "--fields prompt=1,completion=2",
            ],
        );
        let tokens = chosen(&mut draws, &["1", "4", "16", "64"]);
        let command =
            format!("sweep --base nano --data {name} {flags} --tokens {tokens} --dry-run --device cpu --threads 1");
        hold(&place, &words(&command.replace("  ", " ")), case);
    });
}
