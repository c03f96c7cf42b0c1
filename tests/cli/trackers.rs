//! `--log`: TensorBoard's event files and Optuna's journal say what the log says. They are read here by their formats' definitions, without any code of the binary;
//! `tests/fixtures/check_logs.py` reads them with the tools' own libraries.

use std::{collections::BTreeMap, fs, path::Path};

use serde_json::{Value, json};

use super::{
    Place, SMALL,
    resume::{kill_and_resume, kills, sweep},
    small,
};

const FILE: &str = "events.out.tfevents.0.loralab";

/// A number of a run: time, tag, step, value.
type Scalar = (f64, String, u64, f32);

/// CRC-32C bit by bit, masked.
fn checksum(bytes: &[u8]) -> u32 {
    let mut rest = u32::MAX;
    for byte in bytes {
        rest ^= u32::from(*byte);
        for _ in 0..8 {
            let odd = rest & 1 == 1;
            rest >>= 1;
            if odd {
                rest ^= 0x82f6_3b78;
            }
        }
    }
    let checksum = !rest;
    checksum.rotate_right(15).wrapping_add(0xa282_ead8)
}

/// The records of a file.
fn records(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut records = vec![];
    while !bytes.is_empty() {
        let (length, rest) = bytes.split_at(8);
        let (of_length, rest) = rest.split_at(4);
        let size = u64::from_le_bytes(length.try_into().expect("eight bytes")) as usize;
        let (record, rest) = rest.split_at(size);
        let (of_record, rest) = rest.split_at(4);
        assert_eq!(checksum(length).to_le_bytes(), of_length);
        assert_eq!(checksum(record).to_le_bytes(), of_record);
        records.push(record);
        bytes = rest;
    }
    records
}

/// The fields of a message of Protocol Buffers: number and bytes, those of a number with a variable length as eight.
fn fields(mut bytes: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(bytes: &mut &[u8]) -> u64 {
        let mut number = 0;
        for group in 0.. {
            let (first, rest) = bytes.split_first().expect("a number has an end");
            *bytes = rest;
            number |= u64::from(first & 0x7f) << (7 * group);
            if first & 0x80 == 0 {
                break;
            }
        }
        number
    }
    let mut fields = vec![];
    while !bytes.is_empty() {
        let key = varint(&mut bytes);
        let length = match key & 7 {
            0 => {
                fields.push((key >> 3, varint(&mut bytes).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            2 => varint(&mut bytes) as usize,
            5 => 4,
            kind => panic!("no kind of a value is {kind}"),
        };
        let (value, rest) = bytes.split_at(length);
        fields.push((key >> 3, value.to_vec()));
        bytes = rest;
    }
    fields
}

fn eight(bytes: &[u8]) -> [u8; 8] {
    bytes.try_into().expect("eight bytes")
}

/// The numbers in an event file.
fn scalars(file: &Path) -> Vec<Scalar> {
    let bytes = fs::read(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let mut found = vec![];
    for (place, record) in records(&bytes).into_iter().enumerate() {
        let (mut time, mut step, mut values) = (0.0, 0, vec![]);
        for (number, value) in fields(record) {
            match number {
                1 => time = f64::from_le_bytes(eight(&value)),
                2 => step = u64::from_le_bytes(eight(&value)),
                3 => assert_eq!((place, &value[..]), (0, &b"brain.Event:2"[..])),
                5 => values = fields(&value),
                number => panic!("no field of an event is {number}"),
            }
        }
        assert_eq!(values.is_empty(), place == 0);
        for (_, value) in values {
            let [(1, tag), (2, value)] = &fields(&value)[..] else { panic!("{value:?} is no scalar") };
            let value = f32::from_le_bytes(value[..].try_into().expect("four bytes"));
            found.push((time, String::from_utf8_lossy(tag).into_owned(), step, value));
        }
    }
    found
}

fn lines(place: &Place, file: &str) -> Vec<Value> {
    place.read(file).lines().map(|line| serde_json::from_str(line).expect("a line is JSON")).collect()
}

/// The name of a run's folder.
fn id(cell: &Value) -> String {
    let rate = format!("{:e}", cell["learning_rate"].as_f64().expect("a rate"));
    format!("{}_lr{rate}_seed{}", cell["scheme"].as_str().expect("a scheme"), cell["seed"])
}

/// The numbers that the log has of each run.
fn logged(place: &Place, folder: &str) -> BTreeMap<String, Vec<Scalar>> {
    let mut runs: BTreeMap<String, Vec<Scalar>> = BTreeMap::new();
    for line in lines(place, &format!("{folder}/metrics.jsonl")) {
        let tags = match line["event"].as_str().expect("an event") {
            "step" => &[("train", "loss"), ("train", "learning_rate"), ("train", "gradient_norm")][..],
            "evaluation" => &[
                ("validation", "loss"),
                ("validation", "accuracy"),
                ("validation", "perplexity"),
                ("validation", "bits_per_byte"),
            ],
            "diagnosis" => &[("diagnosis", "kl_from_base")],
            _ => continue,
        };
        let of_run = runs.entry(id(&line["cell"])).or_default();
        let (time, step) = (line["time"].as_f64().expect("a time"), line["step"].as_u64().expect("a step"));
        for (group, name) in tags {
            if let Some(value) = line[name].as_f64() {
                of_run.push((time, format!("{group}/{name}"), step, value as f32));
            }
        }
    }
    runs
}

fn told(place: &Place, folder: &str) -> BTreeMap<String, Vec<Scalar>> {
    let folders = fs::read_dir(place.path(&format!("{folder}/tensorboard"))).expect("a folder").flatten();
    folders.map(|run| (run.file_name().to_string_lossy().into_owned(), scalars(&run.path().join(FILE)))).collect()
}

/// The trials of a journal: parameters, state, values, intermediate values.
fn trials(place: &Place, folder: &str) -> BTreeMap<String, (u64, Value, Vec<Value>)> {
    let mut trials = vec![];
    let mut schemes = vec![];
    let operations = lines(place, &format!("{folder}/optuna.journal"));
    assert_eq!(operations[0], json!({"op_code": 0, "worker_id": "loralab", "study_name": folder, "directions": [1]}));
    let distribution = |created: &Value, name: &str| -> Value {
        let text = created["distributions"][name].as_str().expect("a distribution is a text");
        serde_json::from_str(text).expect("it is JSON")
    };
    for operation in &operations[1..] {
        assert_eq!(operation["worker_id"], "loralab");
        let trial = operation["trial_id"].as_u64().unwrap_or_default() as usize;
        match operation["op_code"].as_u64().expect("a number") {
            4 => {
                schemes =
                    distribution(operation, "scheme")["attributes"]["choices"].as_array().expect("a list").clone();
                let rate = distribution(operation, "learning_rate");
                let params = &operation["params"];
                let given = params["learning_rate"].as_f64().expect("a rate");
                let [low, high] = ["low", "high"].map(|end| rate["attributes"][end].as_f64().expect("an end"));
                assert!(low <= given && given <= high && rate["attributes"]["log"] == true, "{operation}");
                trials.push((params.clone(), 0, Value::Null, vec![]));
            }
            7 => trials[trial].3.push(json!([operation["step"], operation["intermediate_value"]])),
            8 => assert!(operation["user_attr"]["reason"].is_string()),
            6 => {
                assert_eq!(trials[trial].1, 0, "a trial ends once");
                trials[trial].1 = operation["state"].as_u64().expect("a number");
                trials[trial].2 = operation["values"].clone();
            }
            other => panic!("{other} is no operation of a sweep"),
        }
    }
    let count = trials.len();
    let named = trials.into_iter().map(|(mut params, state, value, between)| {
        params["scheme"] = schemes[params["scheme"].as_u64().expect("a place") as usize].clone();
        (id(&params), (state, value, between))
    });
    let named: BTreeMap<_, _> = named.collect();
    assert_eq!(named.len(), count, "each run has one trial");
    named
}

/// The same from the log.
fn logged_trials(place: &Place, folder: &str) -> BTreeMap<String, (u64, Value, Vec<Value>)> {
    let mut trials = BTreeMap::new();
    for line in lines(place, &format!("{folder}/metrics.jsonl")) {
        let result = &line["result"];
        if result.is_null() {
            continue;
        }
        let has_loss = |evaluation: &&Value| !evaluation["loss"].is_null();
        let all = result["evaluations"].as_array().expect("a list").iter().filter(has_loss);
        let between: Vec<Value> = all.map(|one| json!([one["step"], one["loss"]])).collect();
        let (state, value) = match () {
            () if !result["stopped"].is_null() => (2, json!([between.last().expect("it was validated")[1]])),
            () if result["final_loss"].is_null() => (3, Value::Null),
            () => (1, json!([result["final_loss"]])),
        };
        trials.insert(id(&result["cell"]), (state, value, between));
    }
    trials
}

fn check(place: &Place, folder: &str) {
    assert_eq!(told(place, folder), logged(place, folder));
    assert_eq!(trials(place, folder), logged_trials(place, folder));
}

#[test]
fn what_is_written_for_others_is_what_the_log_says() {
    let place = Place::new();
    let [base, nano, _, _, rest @ ..] = SMALL;
    let flags = [
        "--steps",
        "40",
        "--learning-rates",
        "1e-4,4e-3,1,1e30",
        "--seeds",
        "2",
        "--stop-early",
        "--diagnose-every",
        "20",
    ];
    let words = [&["sweep", base, nano], &rest[..], &flags, &["--cohort", "9"]].concat();
    place.succeed(&[&words[..], &["--log", "tensorboard,optuna", "--device", "cpu"]].concat());
    check(&place, "results");
    let trials = trials(&place, "results");
    let states = |wanted| trials.values().filter(|(state, ..)| *state == wanted).count();
    assert_eq!((trials.len(), states(0)), (16, 0));
    assert!([1, 2, 3].into_iter().all(|state| states(state) > 0), "{trials:?}");
    let all = told(&place, "results");
    let tags: Vec<&str> = all["init-a_lr4e-3_seed0"].iter().map(|(_, tag, ..)| tag.as_str()).collect();
    for tag in ["train/loss", "train/learning_rate", "train/gradient_norm", "validation/loss", "diagnosis/kl_from_base"]
    {
        assert!(tags.contains(&tag), "{tags:?}");
    }
    // Results that replace these leave nothing of them, but for what someone else put there.
    place.write("results/tensorboard/mine.txt", "");
    place.succeed(&small("sweep", &["--overwrite"]));
    assert!(!place.path("results/optuna.journal").exists());
    let left: Vec<_> = fs::read_dir(place.path("results/tensorboard")).expect("a folder").flatten().collect();
    assert_eq!(left.len(), 1, "{left:?}");
}

#[test]
fn a_sweep_that_goes_on_tells_nothing_twice() {
    let place = Place::new();
    let words = |output| [&sweep(output)[..], &["--log", "tensorboard,optuna"]].concat();
    place.succeed(&words("whole"));
    check(&place, "whole");
    // The resumed command remembers the flag.
    kill_and_resume(&place, &words("killed"), &["sweep", "--resume", "killed"], "killed/command.json", kills());
    check(&place, "killed");
    let timeless = |folder: &str| -> BTreeMap<String, Vec<(String, u64, f32)>> {
        let strip = |all: Vec<Scalar>| all.into_iter().map(|(_, tag, step, value)| (tag, step, value)).collect();
        told(&place, folder).into_iter().map(|(run, all)| (run, strip(all))).collect()
    };
    assert_eq!(timeless("whole"), timeless("killed"));
    assert_eq!(trials(&place, "whole"), trials(&place, "killed"));
}

#[test]
fn a_folder_that_was_begun_without_them_gets_them_when_it_goes_on() {
    let place = Place::new();
    place.succeed(&small("train", &[]));
    place.succeed(&["train", "--resume", "results", "--report-to", "tensorboard"]);
    assert_eq!(told(&place, "results"), logged(&place, "results"));
    assert!(!place.path("results/optuna.journal").exists());
    place.succeed(&["train", "--resume", "results", "--log", "optuna"]);
    assert_eq!(trials(&place, "results"), logged_trials(&place, "results"));
    place.refuse(&small("train", &["--log", "wandb", "--output", "other"]), 2, &["'wandb'", "tensorboard, optuna"]);
}

#[test]
fn a_sweep_does_not_depend_on_what_others_read() {
    let place = Place::new();
    // A file where a folder is wanted.
    place.succeed(&small("sweep", &["--learning-rates", "4e-3", "--seeds", "1", "--output", "results"]));
    place.write("results/tensorboard", "");
    let outcome = place.succeed(&["sweep", "--resume", "results", "--log", "tensorboard"]);
    let note = outcome.stderr.lines().next().unwrap_or_default();
    assert!(
        note.starts_with("The work goes on without `--log`: `") && note.contains("tensorboard/init-a_lr4e-3"),
        "{note}"
    );
    assert!(place.json("results/summary.json")["planned"].is_null());
}
