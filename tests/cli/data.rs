//! Data in every format and shape: what is understood, what is refused, what is taught.

use std::{env, fs, path::PathBuf};

use super::{Place, small};

const WORDS: &str = "records of prompt/completion from";

/// The folder of real data, if it is there.
pub fn real(file: &str) -> Option<String> {
    let beside = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let folder = env::var_os("LORALAB_DATA").map_or(beside, PathBuf::from);
    let path = folder.join(file);
    if !path.is_file() {
        println!("skipped: there is no {}; LORALAB_DATA names the folder of data", path.display());
        return None;
    }
    Some(path.display().to_string())
}

fn lines(count: usize) -> String {
    (0..count).map(|i| format!("{{\"prompt\": \"{i}+1=\", \"completion\": \"{}\"}}\n", i + 1)).collect()
}

fn dry(place: &Place, flags: &[&str]) -> String {
    place.succeed(&small("sweep", &[flags, &["--dry-run"]].concat())).stdout
}

#[test]
fn records_are_recognised_by_their_content() {
    let place = Place::new();
    let json = format!("[{}]", lines(40).trim_end().replace('\n', ",\n"));
    let rows: String = (0..40).map(|i| format!("{i}+1=,{}\n", i + 1)).collect();
    let table = format!("prompt,completion\n{rows}");
    for (name, contents, words) in [
        ("lines.ndjson", lines(40), "JSON lines"),
        ("lines.txt", lines(40), "JSON lines"),
        ("lines", lines(40), "JSON lines"),
        ("list.json", json.clone(), "JSON"),
        ("data.json", format!("{{\"data\": {json}}}"), "JSON"),
        ("table.csv", table.clone(), "comma-separated values"),
        ("table.txt", table.clone(), "comma-separated values"),
        ("table.tsv", table.replace(',', "\t"), "tab-separated values"),
        ("table", table.replace(',', "\t"), "tab-separated values"),
        ("table.dat", table.replace(',', ";"), "values separated by semicolons"),
    ] {
        place.write(name, contents);
        let told = dry(&place, &["--data", name]);
        assert!(told.contains(&format!("40 {WORDS} {words}.\n")), "{name}: {told}");
        assert!(told.contains("36 examples to train on and 4 held out"), "{name}: {told}");
    }
    let columns = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("crates/data/tests/fixtures/pairs.parquet");
    place.write("columns", fs::read(columns).expect("a file of the tree"));
    let told = dry(&place, &["--data", "columns"]);
    assert!(told.contains(&format!("30 {WORDS} Parquet.\n")), "{told}");
    assert!(told.contains("27 examples to train on and 3 held out"), "{told}");
    let plain = "Rose is a rose is a rose is a rose.\n".repeat(40);
    let values = "{\"body\": \"Rose is a rose is a rose.\"}\n".repeat(40);
    for (name, contents) in [("plain", &plain), ("values.raw", &values), ("table.raw", &table)] {
        place.write(name, contents);
        let told = dry(&place, &["--data", name, "--tokens", "32"]);
        assert!(told.contains("tokens of text to train on") && !told.contains("records of"), "{told}");
    }
    place.write("plain.csv", plain);
    place.refuse(&small("sweep", &["--data", "plain.csv"]), 1, &["comma-separated values", "ends in .txt"]);
    place.write("values.jsonl", values);
    for command in [small("sweep", &[]), vec!["init", "eva", "--output", "start"], vec!["pretrain", "--output", "new"]]
    {
        let words = ["values.jsonl: it holds JSON lines", "have the fields body", "`--fields text=body`", ".raw"];
        place.refuse(&[&command[..], &["--data", "values.jsonl"]].concat(), 1, &words);
    }
    let told = dry(&place, &["--data", "values.jsonl", "--fields", "text=body"]);
    assert!(
        told.contains("40 records of text from JSON lines.\n39 of 40 texts to train on repeat others.\n"),
        "{told}"
    );
    place.refuse(
        &small("sweep", &["--data", "plain", "--fields", "text=body"]),
        1,
        &["plain: `fields` has `text=body`", "plain text"],
    );
    place.refuse(&small("sweep", &["--data", "plain", "--fields", "body"]), 2, &["ROLE=FIELD"]);
    place.refuse(
        &small("sweep", &["--data", "plain", "--fields", "txt=body"]),
        2,
        &["no role `txt`; the roles are text, "],
    );
}

#[test]
fn what_is_taught_is_shown() {
    let place = Place::new();
    let chat = |i| {
        format!(
            "{{\"messages\": [{{\"role\": \"user\", \"content\": \"{i}?\"}}, {{\"role\": \"assistant\", \"content\": \"{i}!\"}}]}}\n"
        )
    };
    place.write("chat.jsonl", (0..40).map(chat).collect::<String>());
    let told = dry(&place, &["--data", "chat.jsonl"]);
    assert_eq!(told.matches("of 64 tokens, ").count(), 5, "{told}");
    assert!(told.contains("    read | user: ") && told.contains("         | assistant: \n  taught | "), "{told}");
    let train = small("train", &["--data", "chat.jsonl", "--overwrite"]);
    let trained = place.succeed(&train).stderr;
    assert_eq!(trained.matches("  taught | ").count(), 1, "{trained}");
    assert!(!place.succeed(&[&train[..], &["--quiet"]].concat()).stderr.contains("taught"));
}

#[test]
fn long_examples_are_refused_cut_or_left_out() {
    let place = Place::new();
    let long = format!("{{\"prompt\": \"a\", \"completion\": \"{}\"}}\n", "b".repeat(99));
    place.write("a.jsonl", lines(38) + &long + &long);
    let words =
        ["a.jsonl: 2 of 40 are longer than 64 tokens, the first at line 39, the longest of 101", "`--tokens 101`"];
    for command in [small("sweep", &[]), vec!["init", "eva", "--output", "start"], vec!["pretrain", "--output", "new"]]
    {
        place.refuse(&[&command[..], &["--data", "a.jsonl"]].concat(), 1, &words);
    }
    let told = dry(&place, &["--data", "a.jsonl", "--skip-long"]);
    assert!(
        told.contains("2 of 40 are longer than 64 tokens, the longest 101, and are left out.\nNo example"),
        "{told}"
    );
    let told = dry(&place, &["--data", "a.jsonl", "--truncate"]);
    assert!(told.contains("and are cut at the end.\n"), "{told}");
    place.refuse(
        &small("sweep", &["--data", "a.jsonl", "--skip-long", "--truncate"]),
        2,
        &["`truncate`", "`skip_long`"],
    );
    place.write("cut.toml", "data = 'a.jsonl'\ntruncate = true\n");
    assert!(dry(&place, &["--config", "cut.toml"]).contains("are cut at the end"));
    place.refuse(&small("sweep", &["--config", "cut.toml", "--truncate=false"]), 1, &words);
}

#[test]
fn a_share_or_a_file_is_validated_with() {
    let place = Place::new();
    place.write("a.jsonl", lines(40) + &lines(3));
    let told = dry(&place, &["--data", "a.jsonl", "--validation", "50%"]);
    assert!(told.contains("held out, of which 4"), "{told}");
    assert!(told.contains("repeat others; none of those held out has a prompt that is trained on, too."), "{told}");
    place.write("b.jsonl", lines(60));
    let told = dry(&place, &["--data", "a.jsonl", "--validation", "b.jsonl"]);
    for words in [
        "43 records of prompt/completion from JSON lines.\nb.jsonl: 60 records of prompt/completion from JSON lines.\n",
        "3 of 43 examples to train on repeat others; 40 of 60 held out have a prompt that is trained on, too.",
        "43 examples to train on and 60 held out",
    ] {
        assert!(told.contains(words), "{told}");
    }
    place.succeed(&small("train", &["--data", "a.jsonl", "--validation", "b.jsonl"]));
    assert!(place.read("results/experiment.toml").contains("validation = \"b.jsonl\""));
    place.write("text.txt", "Rose is a rose. ".repeat(99));
    place.refuse(
        &small("sweep", &["--data", "a.jsonl", "--validation", "text.txt", "--output", "other"]),
        1,
        &["text.txt: it holds a text", "examples"],
    );
    place.refuse(
        &small("sweep", &["--data", "a.jsonl", "--validation", "c.jsonl", "--output", "other"]),
        1,
        &["there is no data file `c.jsonl`"],
    );
    place.refuse(&small("sweep", &["--data", "a.jsonl", "--validation", "1.5"]), 2, &["a share between 0 and 1"]);
    place.refuse(&small("sweep", &["--validation", "b.jsonl"]), 2, &["`data` is not set"]);
}

#[test]
fn examples_are_packed_on_request() {
    let place = Place::new();
    place.write("a.jsonl", lines(40));
    let told = dry(&place, &["--data", "a.jsonl", "--pack"]);
    assert!(told.contains("36 examples in 4 sequences to train on and 4 examples held out"), "{told}");
    place.succeed(&small("train", &["--data", "a.jsonl", "--pack"]));
    assert!(place.read("results/experiment.toml").contains("pack = true"));
    let eva = small("sweep", &["--data", "a.jsonl", "--pack", "--schemes", "init-a,eva", "--output", "other"]);
    place.refuse(&eva, 2, &["`pack` is true and `schemes` has \"eva\""]);
}

#[test]
fn real_data_are_understood() {
    let place = Place::new();
    for (file, flags, words) in [
        (
            "gsm8k/train.jsonl",
            &["--tokens", "512", "--skip-long"][..],
            &["7473 records of question/answer (GSM8K) from JSON lines.", "longer than 512 tokens", " #### "][..],
        ),
        (
            "sst2/train.tsv",
            &["--tokens", "320"],
            &["6920 records of sentence/label from tab-separated values without a header.", "  taught |  "],
        ),
        ("sst2/dev.tsv", &["--tokens", "320"], &["872 records of sentence/label", "label:\n"]),
        ("wikitext-2/valid.txt", &[], &["tokens of text to train on"]),
        ("tinyshakespeare.txt", &[], &["tokens of text to train on"]),
    ] {
        let Some(path) = real(file) else { continue };
        let told = dry(&place, &[&["--data", &path], flags].concat()).replace("| ####", "|  #### ");
        words.iter().for_each(|words| assert!(told.contains(words), "{file}: no «{words}» in:\n{told}"));
    }
    if let Some(path) = real("gsm8k/train.jsonl") {
        place.refuse(&small("sweep", &["--data", &path]), 1, &["of 7473 are longer than 64 tokens", "`--truncate`"]);
        let test = path.replace("train", "test");
        let told = dry(&place, &["--data", &path, "--tokens", "512", "--truncate", "--validation", &test]);
        assert!(told.contains("none of those held out has a prompt that is trained on, too"), "{told}");
        assert!(fs::read_dir(place.path("")).expect("a folder").next().is_none(), "a dry run writes nothing");
    }
}
