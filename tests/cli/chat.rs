//! `chat`: a base and adapters answer what is piped in.

use std::{io::Write, process::Stdio};

use super::Place;

/// The output for these lines of stdin.
fn answers(place: &Place, flags: &[&str], stdin: &str) -> String {
    let mut child = place
        .command(&[&["chat"], flags].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs");
    child.stdin.take().expect("a pipe").write_all(stdin.as_bytes()).expect("the binary reads");
    let output = child.wait_with_output().expect("the binary ends");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("the binary writes UTF-8")
}

#[test]
fn a_base_and_adapters_answer_each_line() {
    let place = Place::new();
    // At its start, an adapter says what the base says.
    place.succeed(&["init", "init-a", "--base", "nano", "-o", "start", "--rank", "2"]);
    place.succeed(&["init", "init-b", "--base", "nano", "-o", "wide", "--rank", "4"]);
    let flags = ["--base", "nano", "--adapter", "start", "--adapter", "wide", "--count", "30"];
    let said = answers(&place, &flags, "Anna took the red cup.>\n\nBen ran to the inn.>\n");
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!(lines.len(), 6, "{said}");
    for (lines, prompt) in lines.chunks(3).zip(["Anna took the red cup.>", "Ben ran to the inn.>"]) {
        let alone = ["generate", "--base", "nano", "--prompt", prompt, "--count", "30", "--stop-at-newline"];
        let alone = place.succeed(&alone).stdout;
        for (line, name) in lines.iter().zip(["nano", "start", "wide"]) {
            assert_eq!(*line, format!("{name}: {}", alone.trim()));
        }
    }
    assert_eq!(answers(&place, &["--base", "nano"], ""), "");
}

#[test]
fn an_adapter_of_another_base_is_refused() {
    let place = Place::new();
    place.succeed(&["init", "init-a", "--base", "nano", "-o", "start"]);
    place.refuse(&["chat", "--base", "tiny", "--adapter", "start"], 1, &["was not made for the base `tiny`"]);
    place.refuse(&["chat", "--adapter", "nowhere"], 1, &["no adapter folder `nowhere`"]);
    for (flag, value, words) in [("--top-p", "0", "above 0, up to 1"), ("--top-k", "0", "at least 1")] {
        place.refuse(&["chat", flag, value], 2, &[words]);
        place.refuse(&["generate", "--prompt", "a", flag, value], 2, &[words]);
    }
}
