#![allow(clippy::unwrap_used)]

use super::*;

const LINE: &str = r#"{"prompt": "Is it so?", "completion": "yes"}"#;

fn reader(tokens: usize) -> Reader<'static> {
    Reader::new(&Tokenizer::Bytes, tokens)
}

fn read(name: &str, text: &str) -> Result<Found, Error> {
    reader(4096).read(Some(name), text.as_bytes())
}

fn fields(pairs: &[(&str, &str)]) -> Fields {
    Fields::new(pairs.iter().map(|(role, field)| ((*role).to_owned(), (*field).to_owned()))).unwrap()
}

fn message<T: std::fmt::Debug>(result: Result<T, Error>) -> String {
    result.unwrap_err().to_string()
}

/// Each example with what is taught in brackets.
fn marked(found: &Found) -> Vec<String> {
    let text = |tokens: &[u32]| Tokenizer::Bytes.decode(tokens);
    let examples = found.dataset.examples().expect("examples");
    let mark = |lesson: crate::Lesson<'_>| {
        let (mut marked, mut done) = (String::new(), 0);
        for run in lesson.taught() {
            marked += &format!("{}[{}]", text(&lesson.tokens[done..run.start]), text(&lesson.tokens[run.clone()]));
            done = run.end;
        }
        marked + &text(&lesson.tokens[done..])
    };
    examples.iter().map(mark).collect()
}

fn first(text: &str) -> String {
    marked(&read("a.jsonl", text).unwrap_or_else(|error| panic!("{text}: {error}"))).swap_remove(0)
}

#[test]
fn json_lines_give_examples() {
    let lines = format!("{LINE}\r\n\n   \n{{\"id\": 7, \"completion\": \"no\\n\", \"prompt\": \"ü\"}}\n");
    let found = read("a.jsonl", &lines).unwrap();
    assert_eq!(marked(&found), ["Is it so?[yes\n]", "ü[no\n]"]);
    assert_eq!(found.notes, ["2 records of prompt/completion from JSON lines."]);
}

#[test]
fn each_shape_is_read() {
    for (line, wanted) in [
        (r#"{"question": "2+2?", "answer": "It is 4.\n#### 4"}"#, "Question: 2+2?\nAnswer:[ It is 4.\n#### 4\n]"),
        (r#"{"sentence": "a fine film", "label": 1}"#, "sentence: a fine film\nlabel:[ 1\n]"),
        (
            r#"{"idx": 3, "sentence1": "a", "sentence2": "b", "label": 3.5}"#,
            "sentence1: a\nsentence2: b\nlabel:[ 3.5\n]",
        ),
        (r#"{"premise": "a", "hypothesis": "b", "label": "neutral"}"#, "premise: a\nhypothesis: b\nlabel:[ neutral\n]"),
        (r#"{"question": "a", "sentence": "b", "label": 0}"#, "question: a\nsentence: b\nlabel:[ 0\n]"),
        (r#"{"text": "a", "label": true}"#, "text: a\nlabel:[ true\n]"),
        (
            r#"{"messages": [{"role": "user", "content": "so?"}, {"role": "assistant", "content": "no"}, {"role": "user", "content": "?"}]}"#,
            "user: so?\nassistant: [no\n]user: ?\n",
        ),
        (
            r#"{"conversations": [{"from": "human", "value": "so?"}, {"from": "gpt", "value": "no"}, {"from": "gpt", "value": "no!"}]}"#,
            "user: so?\nassistant: [no\n]assistant: [no!\n]",
        ),
    ] {
        assert_eq!(first(line), wanted);
    }
    let alpaca = first(r#"{"instruction": "Say it.", "input": "", "output": "it", "text": "all"}"#);
    assert!(alpaca.starts_with("Below is an instruction that describes a task. Write"), "{alpaca}");
    assert!(alpaca.ends_with("\n\n### Instruction:\nSay it.\n\n### Response:[it\n]"), "{alpaca}");
    let with_input = first(r#"{"instruction": "Say it.", "input": "x", "output": "it"}"#);
    assert!(with_input.ends_with("### Instruction:\nSay it.\n\n### Input:\nx\n\n### Response:[it\n]"), "{with_input}");
}

#[test]
fn texts_are_joined_by_their_ends() {
    let found = read("a.jsonl", "{\"text\": \"so\"}\n{\"text\": \"no\\n\"}\n").unwrap();
    assert_eq!(found.dataset, Dataset::Text(Tokenizer::Bytes.encode("so\nno\n")));
    assert_eq!(found.notes, ["2 records of text from JSON lines."]);
}

#[test]
fn json_is_a_list_or_holds_one() {
    let list = format!("[{LINE},\n{LINE}]");
    for text in [
        list.clone(),
        format!("{{\"version\": 1, \"data\": {list}}}"),
        format!("{LINE}\n\n{LINE}").replace(", ", ",\n"),
    ] {
        let found = read("a.json", &text).unwrap();
        assert_eq!(marked(&found), ["Is it so?[yes\n]"; 2], "{text}");
        assert_eq!(found.notes, ["2 records of prompt/completion from JSON."]);
    }
    assert_eq!(marked(&read("a.json", LINE).unwrap()).len(), 1);
}

#[test]
fn fields_are_mapped() {
    let line = r#"{"id": "x", "q": "so?", "a": "no", "dialog": [{"who": "user", "says": "so?"}, {"who": "assistant", "says": "no"}]}"#;
    let mapped = |pairs: &[(&str, &str)]| {
        let reader = Reader { fields: fields(pairs), ..reader(64) };
        reader.read(Some("a.jsonl"), line.as_bytes()).map(|found| found.dataset.examples().map_or(0, Examples::len))
    };
    assert_eq!(mapped(&[("prompt", "q"), ("completion", "a")]), Ok(1));
    assert_eq!(mapped(&[("messages", "dialog"), ("role", "who"), ("content", "says")]), Ok(1));
    assert_eq!(mapped(&[("text", "a")]), Ok(0));
    assert_eq!(
        message(mapped(&[])).split(". ").next(),
        Some("it holds JSON lines, whose records have the fields id, q, a, dialog, and these are not known together")
    );
    let missing = message(mapped(&[("text", "body")]));
    assert_eq!(missing, "`fields` has `text=body`, but the first record has the fields id, q, a, dialog");
    let unknown = Fields::new([("txt".to_owned(), "a".to_owned())]).unwrap_err().to_string();
    assert!(
        unknown.starts_with("`fields` has `txt=a`, but there is no role `txt`; the roles are text, prompt,"),
        "{unknown}"
    );
    let plain = Reader { fields: fields(&[("text", "a")]), ..reader(2) }.read(None, b"Once upon a time");
    assert!(message(plain).ends_with("the file holds plain text, which has no fields"));
}

#[test]
fn what_can_be_read_in_two_ways_is_asked_for() {
    let line = r#"{"prompt": "a", "completion": "b", "question": "c", "answer": "d"}"#;
    let error = message(read("a.jsonl", line));
    assert!(error.contains("can be read as prompt/completion or as question/answer (GSM8K); choose"), "{error}");
    assert!(error.ends_with("`--fields prompt=prompt,completion=completion`"), "{error}");
    let chosen = Reader { fields: fields(&[("question", "question"), ("answer", "answer")]), ..reader(64) };
    assert_eq!(marked(&chosen.read(Some("a.jsonl"), line.as_bytes()).unwrap()), ["Question: c\nAnswer:[ d\n]"]);
}

#[test]
fn a_bad_record_is_named() {
    for (line, wanted) in [
        (r#"{"prompt": "a", "completion": "#, "line 3 is not valid JSON: EOF while parsing a value at column 30"),
        (r#"["a", "b"]"#, "line 3: a list is no record; "),
        (r#"{"prompt": "a"}"#, "line 3: the field \"completion\" is missing; each record must be like {\"prompt\": "),
        (r#"{"completion": "a"}"#, "line 3: the field \"prompt\" is missing; "),
        (r#"{"prompt": 3, "completion": "a"}"#, "line 3: the field \"prompt\" is a number, not a string; "),
        (r#"{"prompt": "a", "completion": ""}"#, "line 3: the field \"completion\" is empty; "),
        (r#"{"prompt": "", "completion": "a"}"#, "line 3: the field \"prompt\" is empty; "),
    ] {
        let error = message(read("a.jsonl", &format!("{LINE}\n\n{line}\n{LINE}")));
        assert!(error.starts_with(wanted), "{error}");
    }
    let error = message(read("a.json", &format!("[{LINE},\n{{\"prompt\": \"a\"}}]")));
    assert!(error.starts_with("record 2: the field \"completion\" is missing"), "{error}");
    let error = message(read("a.json", &format!("[{LINE},\n{{\"prompt\" \"a\"}}]")));
    assert!(error.starts_with("line 2, column 11 is not valid JSON: expected `:`"), "{error}");
    for (list, wanted) in [
        ("[]", "the field \"messages\" is empty"),
        ("3", "the field \"messages\" is a number, not a list"),
        ("[3]", "message 1 of \"messages\" is a number, not an object"),
        (r#"[{"role": "user"}]"#, "in message 1 of \"messages\", the field \"content\" is missing"),
        (r#"[{"role": "user", "content": "a"}]"#, "no message of \"messages\" is the assistant's"),
    ] {
        let error = message(read("a.jsonl", &format!("{{\"messages\": {list}}}")));
        assert!(error.starts_with(&format!("line 1: {wanted}")), "{error}");
    }
}

#[test]
fn what_gives_nothing_is_refused() {
    for text in ["", "\n  \n", "[]"] {
        assert_eq!(read("a.jsonl", text).or_else(|_| read("a.json", text)), Err(Error::Empty), "{text:?}");
    }
    let zero = reader(64).read(Some("a.jsonl"), b"{}\x00");
    assert_eq!(zero, Err(Error::Binary { offset: 2, byte: 0 }));
}

#[test]
fn what_is_too_long_is_counted_then_refused_cut_or_left_out() {
    let line = |completion: &str| format!("{{\"prompt\": \"a\", \"completion\": \"{completion}\"}}\n");
    let long = format!("{{\"prompt\": \"{}\", \"completion\": \"b\"}}\n", "a".repeat(8));
    let lines = format!("\u{feff}{}\n{}{}{long}", line("b"), line("bbbb"), line("bbbbbbb"));
    let with = |too_long| Reader { too_long, ..reader(5) }.read(Some("a.jsonl"), lines.as_bytes());
    let error = message(with(TooLong::Refuse));
    assert!(
        error.starts_with("3 of 4 are longer than 5 tokens, the first at line 3, the longest of 10: use `--truncate`"),
        "{error}"
    );
    assert!(error.contains("`--skip-long`") && error.contains("`--tokens 10`"), "{error}");
    let cut = with(TooLong::Truncate).unwrap();
    assert_eq!(marked(&cut), ["a[b\n]", "a[bbbb]", "a[bbbb]"]);
    assert_eq!(
        cut.notes[1],
        "3 of 4 are longer than 5 tokens, the longest 10, and are cut at the end; 1 of these is left out, since the prompt alone fills the sequence."
    );
    let skipped = with(TooLong::Skip).unwrap();
    assert_eq!(marked(&skipped), ["a[b\n]"]);
    assert_eq!(skipped.notes[1], "3 of 4 are longer than 5 tokens, the longest 10, and are left out.");
    let none = Reader { too_long: TooLong::Skip, ..reader(5) }.read(Some("a.jsonl"), long.as_bytes());
    assert_eq!(none, Err(Error::NoneLeft { records: 1, tokens: 5, longest: 10 }));
    let most = |lines: &str| reader(5).length_of_most(Some("a.jsonl"), lines.as_bytes());
    assert_eq!(most(&lines), Ok(Some(10)));
    assert_eq!(reader(5).length_of_most(None, b"a text of many words"), Ok(None));
    // One in a hundred is left out; two are refused.
    let hundred = line("b").repeat(99) + &long;
    assert_eq!(most(&hundred), Ok(Some(3)));
    let few = reader(5).read(Some("a.jsonl"), hundred.as_bytes()).unwrap();
    assert_eq!(few.notes[1], "1 of 100 is longer than 5 tokens, the longest 10, and is left out.");
    let more = reader(5).read(Some("a.jsonl"), (line("b").repeat(97) + &long + &long).as_bytes());
    assert!(message(more).starts_with("2 of 99 are longer than 5 tokens"));
    // 9 bytes, 3 bytes and the newline.
    assert!(reader(13).read(Some("a.jsonl"), LINE.as_bytes()).is_ok());
    assert!(reader(12).read(Some("a.jsonl"), LINE.as_bytes()).is_err());
}

/// Damaged in any way, data give a sentence or examples that fit.
#[test]
fn damaged_data_are_answered() {
    use loralab_linalg::Draws;
    let lines = format!("{LINE}\n{{\"prompt\": \"ü\", \"completion\": \"no\"}}\n");
    let chat = "{\"messages\": [{\"role\": \"user\", \"content\": \"so?\"}, {\"role\": \"assistant\", \"content\": \"no\"}]}\n";
    let table = "prompt,completion\n\"a \"\"b\"\"\",c\nd,e\nf,g\nh,i\n";
    let kinds = [
        lines.clone(),
        chat.repeat(2),
        format!("{{\"data\": [{}]}}", lines.trim_end().replace('\n', ",")),
        table.to_owned(),
        table.replace(',', "\t"),
        "so fine\t1\nno\t0\nnot\t0\nwell\t1\n".to_owned(),
    ];
    let mut understood = 0;
    for case in 0..4000 {
        let mut draws = Draws::new(case, "damage");
        let mut bytes = kinds[draws.below(kinds.len() as u32) as usize].clone().into_bytes();
        for _ in 0..draws.below(4) {
            let at = draws.below(bytes.len() as u32) as usize;
            match draws.below(4) {
                0 => bytes[at] = draws.below(256) as u8,
                1 => bytes.truncate(at.max(1)),
                2 => bytes.insert(at, b"{}[]\",\n\t:0"[draws.below(10) as usize]),
                _ => drop(bytes.remove(at)),
            }
            if bytes.is_empty() {
                bytes.push(b' ');
            }
        }
        let name = [None, Some("a.jsonl"), Some("a.json"), Some("a.csv"), Some("a.tsv")][draws.below(5) as usize];
        let too_long = [TooLong::Refuse, TooLong::Skip, TooLong::Truncate][draws.below(3) as usize];
        let reader = Reader { too_long, ..reader(1 + draws.below(20) as usize) };
        match reader.read(name, &bytes) {
            Err(error) => assert!(!error.to_string().is_empty()),
            Ok(found) => {
                if found.dataset.examples().is_some() {
                    assert_eq!(found.dataset.fits(reader.tokens), Ok(()), "case {case}");
                    understood += 1;
                }
            }
        }
    }
    assert!(understood > 400, "only {understood} cases held examples");
}

#[test]
#[cfg(not(feature = "tables"))]
fn tables_are_for_the_command() {
    let error = message(read("a.csv", &"prompt,completion\n".repeat(5)));
    assert!(
        error.starts_with("it holds comma-separated values, which is not read here; write it as JSON lines"),
        "{error}"
    );
}

#[cfg(feature = "tables")]
mod tables {
    use super::*;

    #[test]
    fn a_header_names_the_fields() {
        let table = "completion,prompt\nyes,\"Is it so, \"\"really\"\"?\"\nno,Is it not?\nyes,a\nyes,b\n";
        let found = read("a.csv", table).unwrap();
        assert_eq!(marked(&found)[..2], ["Is it so, \"really\"?[yes\n]", "Is it not?[no\n]"]);
        assert_eq!(found.notes, ["4 records of prompt/completion from comma-separated values."]);
        for (name, text) in [("a", table.replace("so,", "so").replace(',', "\t")), ("a", table.replace(',', ";"))] {
            assert_eq!(marked(&read(name, &text).unwrap()).len(), 4, "{text}");
        }
        assert_eq!(
            read("a.csv", "text\nOnce upon a time.\n").unwrap().dataset,
            Dataset::Text(Tokenizer::Bytes.encode("Once upon a time.\n"))
        );
    }

    #[test]
    fn a_table_without_a_header_has_labels_or_numbers() {
        let labelled = "so fine , a film\t1\nno \" film\t0\nnot at all\t0\nwell enough\t1\n";
        let found = read("dev.tsv", labelled).unwrap();
        assert_eq!(
            marked(&found)[..2],
            ["sentence: so fine , a film\nlabel:[ 1\n]", "sentence: no \" film\nlabel:[ 0\n]"]
        );
        assert_eq!(found.notes, ["4 records of sentence/label from tab-separated values without a header."]);
        let pairs =
            "the cat\tle chat\nthe dog\tle chien\nthe mouse\tla souris\nthe fly is here now\tla mouche est ici\n";
        let error = message(read("a.tsv", pairs));
        assert!(error.contains("the fields the cat, le chat, and these"), "{error}");
        let mapped = Reader { fields: fields(&[("prompt", "1"), ("completion", "2")]), ..reader(64) };
        assert_eq!(marked(&mapped.read(Some("a.tsv"), pairs.as_bytes()).unwrap())[0], "the cat[le chat\n]");
    }

    #[test]
    fn a_bad_row_is_named() {
        let table = |row: &str| format!("prompt,completion\na,b\na,c\na,d\n{row}\n");
        for (row, wanted) in [
            ("a,b,c", "line 5 is not valid comma-separated values: it has 3 values, but there are 2 columns"),
            ("a,", "line 5: the field \"completion\" is empty"),
        ] {
            let error = message(read("a.csv", &table(row)));
            assert!(error.starts_with(wanted), "{error}");
        }
        let twice = message(read("a.csv", &"prompt,prompt\na,b\n".repeat(3)));
        assert!(twice.contains("two columns are called \"prompt\""), "{twice}");
        let plain = message(read("a.csv", "Rose is a rose is a rose.\n"));
        assert!(plain.starts_with("its name is that of comma-separated values, but it holds none"), "{plain}");
    }
}
