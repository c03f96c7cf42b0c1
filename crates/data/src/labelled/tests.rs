use super::*;
use crate::{
    batch::{Sampler, validation},
    dataset::Dataset,
    error::Error,
    reader::{Found, Reader, TooLong},
};

fn read_as(wanted: Wanted, lines: &[&str]) -> Result<Found, Error> {
    let reader = Reader { labels: Some(wanted), ..Reader::new(&Tokenizer::Bytes, 12) };
    reader.read(Some("a.jsonl"), lines.join("\n").as_bytes())
}

fn labelled(found: &Found) -> &Labelled {
    let Dataset::Labelled(labelled) = &found.dataset else { panic!("labels") };
    labelled
}

fn lines(labels: &[&str]) -> Vec<String> {
    labels.iter().enumerate().map(|(n, label)| format!("{{\"sentence\": \"text {n}\", \"label\": {label}}}")).collect()
}

fn labels(wanted: Wanted, all: &[&str]) -> Result<Labels, Error> {
    let lines = lines(all);
    let found = read_as(wanted, &lines.iter().map(String::as_str).collect::<Vec<_>>())?;
    Ok(labelled(&found).labels().clone())
}

fn names(all: &[&str]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

#[test]
fn labels_say_the_classes_unless_they_are_known() {
    let classes = |all: &[&str], of: &[u32]| Ok(Labels::Classes { names: names(all), of: of.to_vec() });
    let open = || Wanted::Class(vec![]);
    assert_eq!(labels(open(), &["1", "0", "1"]), classes(&["0", "1"], &[1, 0, 1]));
    assert_eq!(labels(open(), &["5", "10", "1"]), classes(&["1", "5", "10"], &[1, 2, 0]));
    assert_eq!(labels(open(), &["\"no\"", "\"maybe\"", "\"no\""]), classes(&["maybe", "no"], &[1, 0, 1]));
    assert_eq!(labels(open(), &["0.5", "3", "4"]), Ok(Labels::Scores(vec![0.5, 3.0, 4.0])));
    let known = || Wanted::Class(names(&["bad", "good", "neither"]));
    assert_eq!(labels(known(), &["\"good\"", "0"]), classes(&["bad", "good", "neither"], &[1, 0]));
    assert_eq!(labels(known(), &["7", "8"]), classes(&["7", "8"], &[0, 1]));
    assert_eq!(labels(Wanted::Score, &["1", "2"]), Ok(Labels::Scores(vec![1.0, 2.0])));
}

#[test]
fn wrong_labels_are_sentences() {
    let only = Wanted::KnownClass(names(&["bad", "good"]));
    let said = |wanted, all: &[&str]| labels(wanted, all).expect_err("a wrong label").to_string();
    let words = said(only, &["0", "\"fine\""]);
    assert_eq!(words, "line 2: the label is \"fine\", but it must be one of the classes bad, good");
    assert!(said(Wanted::Score, &["1", "\"x\""]).starts_with("line 2: the label is \"x\""));
    assert!(said(Wanted::Class(vec![]), &["1", "1"]).contains("only the label \"1\""));
    let texts = read_as(Wanted::Class(vec![]), &["{\"prompt\": \"a\", \"completion\": \"b\"}"]).expect_err("no labels");
    assert!(texts.to_string().contains("prompt/completion"), "{texts}");
}

#[test]
fn long_texts_keep_their_special_tokens() {
    let bytes = |texts: &[&str], most: usize| cut(texts, &Tokenizer::Bytes, most).tokens;
    assert_eq!(bytes(&["abcdef"], 4), b"abcd".map(u32::from));
    assert_eq!(bytes(&["abcdef", "xy"], 5), b"abcxy".map(u32::from));
    assert_eq!(bytes(&["ab", "wxyz"], 3), b"awx".map(u32::from));
    assert_eq!(bytes(&["abcd", "wx"], 3), b"abw".map(u32::from));
    let long = ["{\"sentence\": \"a long sentence that is cut\", \"label\": 0}", "{\"sentence\": \"b\", \"label\": 1}"];
    assert!(matches!(read_as(Wanted::Class(vec![]), &long), Err(Error::TooLong { long: 1, longest: 27, .. })));
    for (too_long, lengths) in [(TooLong::Truncate, vec![12, 1]), (TooLong::Skip, vec![1])] {
        let wanted = Some(Wanted::KnownClass(names(&["0", "1"])));
        let reader = Reader { labels: wanted, too_long, ..Reader::new(&Tokenizer::Bytes, 12) };
        let found = reader.read(Some("a.jsonl"), long.join("\n").as_bytes()).expect("labels");
        assert_eq!(labelled(&found).iter().map(|text| text.tokens.len()).collect::<Vec<_>>(), lengths);
    }
}

#[test]
fn a_batch_has_one_label_a_sequence() {
    let lines = lines(&["1", "0", "1", "0", "1"]);
    let found = read_as(Wanted::Class(vec![]), &lines.iter().map(String::as_str).collect::<Vec<_>>()).expect("labels");
    let split = found.dataset.split(0, 0.4, 12).expect("five texts");
    assert_eq!((split.train.sequences(12), split.validation.sequences(12)), (3, 2));
    let batch = Sampler::new(&split.train, 3, 2, 12).expect("they fit").batch(0);
    assert_eq!((batch.counted, batch.classes), (2, 2));
    assert_eq!(batch.weights.iter().filter(|weight| **weight == 0.5).count(), 2);
    for sequence in 0..2 {
        assert_eq!(batch.weights[12 * sequence], 0.5);
        assert_eq!(batch.segments[12 * sequence..][..12], [1, 1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0]);
        assert_eq!(&batch.tokens[12 * sequence..][..5], b"text ".map(u32::from));
    }
    let batches = validation(&split.validation, 4, 12, 8).expect("they fit");
    assert_eq!((batches.len(), batches[0].counted), (1, 2));
    let mut right = vec![1.0; 48];
    right[12] = 0.0;
    let truth: Vec<u32> = [0, 12].map(|row| batches[0].targets[row]).to_vec();
    let table = batches[0].confusion(&right).expect("two classes");
    assert_eq!(table.texts(), 2);
    assert_eq!(batches[0].exact_matches(&right).fraction(), Some(0.5));
    let said = [truth[0], 1 - truth[1]];
    let positive = truth.iter().zip(said).filter(|(truth, said)| **truth == 1 && *said == 1).count();
    assert_eq!(
        table.f1(),
        if truth.contains(&1) || said.contains(&1) {
            2.0 * positive as f64 / (truth.iter().sum::<u32>() + said.iter().sum::<u32>()) as f64
        } else {
            0.0
        }
    );
}

#[test]
fn scores_are_expected_rows() {
    let lines = lines(&["0.5", "-2", "3"]);
    let found = read_as(Wanted::Class(vec![]), &lines.iter().map(String::as_str).collect::<Vec<_>>()).expect("labels");
    let batch = validation(&found.dataset, 3, 12, 3).expect("they fit").remove(0);
    assert_eq!([0, 12, 24].map(|row| batch.expected[row]), [0.5, -2.0, 3.0]);
    assert_eq!((batch.classes, batch.confusion(&[])), (0, None));
    assert_eq!(found.notes[1], "The labels are scores from -2 to 3.");
}
