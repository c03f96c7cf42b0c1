//! The memory that is promised: what `--dry-run` says, what a run takes, and what is refused before it is taken.

use std::{fs, process::Stdio, thread, time::Duration};

use super::Place;

/// Bytes of memory that a run takes but does not count, beside the program's code and shipped bases: stacks of threads, and freed memory that the allocator
/// keeps.
const KEPT: u64 = 18 << 20;

/// The most memory that a command has had at once, and its exit code.
fn peak(place: &Place, arguments: &[&str]) -> (u64, i32) {
    let mut child =
        place.command(arguments).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("the binary runs");
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        // The system keeps the highest, so that only the last moments can be missed.
        let text = fs::read_to_string(&status).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kib = line.and_then(|line| line.trim().trim_end_matches("kB").trim().parse::<u64>().ok());
        peak = peak.max(kib.unwrap_or(0) << 10);
        if let Some(status) = child.try_wait().expect("the binary can be waited for") {
            return (peak, status.code().unwrap_or(-1));
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// The largest sum that a dry run prints.
fn said(place: &Place, arguments: &[&str]) -> u64 {
    let told = place.succeed(&[arguments, &["--dry-run"]].concat()).stdout;
    let sums = told.lines().filter(|line| line.contains(" bytes  together: "));
    let bytes = sums.filter_map(|line| line.trim_start().split(' ').next()?.parse().ok());
    bytes.max().unwrap_or_else(|| panic!("no sum in:\n{told}"))
}

#[test]
fn the_tokens_of_a_text_have_four_bytes_each() {
    let place = Place::new();
    place.write("rhyme.txt", "Rose is a rose is a rose is a rose.\n".repeat(400));
    let told =
        place.succeed(&["train", "--base", "nano", "--data", "rhyme.txt", "--device", "cpu", "--dry-run"]).stdout;
    // 36 letters in each of 400 lines.
    assert!(told.contains("data: 57600 bytes"), "{told}");
}

#[test]
#[cfg(target_os = "linux")]
fn a_run_takes_no_more_memory_than_was_said() {
    let place = Place::new();
    let shape = ["--batch-size", "400", "--steps", "1", "--evaluate-every", "0", "--threads", "2", "--device", "cpu"];
    let run = ["train", "--base", "nano", "--quiet", "--overwrite", "--scheme"];
    let least = ["--batch-size", "1", "--steps", "1", "--evaluate-every", "0", "--threads", "2", "--device", "cpu"];
    let (program, code) = peak(&place, &[&run[..], &["init-a"], &least].concat());
    assert_eq!(code, 0);
    for scheme in [
        "init-ab-subtract",
        "olora",
        "loftq-nf4",
        "eva",
        "corda-kpm",
        "sylvester-labels",
        "activation-shift",
        "lora-ga",
        "hrp",
    ] {
        let arguments = [&run[..], &[scheme], &shape].concat();
        let budget = said(&place, &arguments);
        let (taken, code) = peak(&place, &arguments);
        assert_eq!(code, 0, "{scheme}");
        assert!(taken <= budget + program + KEPT, "{scheme}: {taken} bytes taken, {budget} said");
        // A bound that is never near what is taken would refuse what fits.
        assert!(budget <= 3 * taken, "{scheme}: {budget} bytes said, but {taken} taken");
    }
}

#[test]
#[cfg(target_os = "linux")]
fn what_cannot_fit_is_refused_before_it_is_taken() {
    let place = Place::new();
    place.write("text.txt", "The mill is by the river, and nobody knows who built it.\n".repeat(400));
    for (arguments, words) in [
        (
            &["sweep", "--base", "nano", "--scheme", "eva", "--batch-size", "3000", "--memory", "250MiB"][..],
            "the start of eva needs",
        ),
        (
            &["train", "--base", "nano", "--scheme", "lora-ga", "--batch-size", "3000", "--memory", "600MiB"],
            "the start of lora-ga needs",
        ),
        (&["init", "hrp", "--batch-size", "1000000", "--output", "start"], "the start of hrp needs"),
        (&["init", "corda-ipm", "--batch-size", "1000000", "--output", "start"], "the start of corda-ipm needs"),
        (&["sweep", "--tokens", "10000000", "--memory", "8GiB"], "`tokens`"),
        (&["sweep", "--tokens", "1000000", "--memory", "1GiB"], "`tokens`"),
        (&["generate", "--prompt", "a", "--threads", "99999"], "`threads`"),
        (&["sweep", "--batch-size", "100000", "--validation-examples", "9999999", "--memory", "1GiB"], "Lower"),
        (&["sweep", "--data", "text.txt", "--tokens", "5000", "--batch-size", "9000", "--memory", "500MiB"], "Lower"),
    ] {
        place.refuse(arguments, 2, &[words]);
        let (taken, _) = peak(&place, arguments);
        assert!(taken < 256 << 20, "{arguments:?}: {taken} bytes were taken to refuse it");
    }
}

/// A refusal says what takes the memory and what would save some; what it names then fits.
#[test]
fn a_flag_that_is_said_to_save_memory_does() {
    let place = Place::new();
    let shape =
        ["train", "--base", "tiny", "--device", "cpu", "--threads", "1", "--steps", "1", "--evaluate-every", "0"];
    let shape = [&shape[..], &["--batch-size", "16", "--tokens", "256", "--quiet"]].concat();
    let with = |more: &[&'static str]| [&shape[..], more].concat();
    let (kept, again) = (said(&place, &shape), said(&place, &with(&["--gradient-checkpointing"])));
    assert!(again < kept - kept / 10, "{again} bytes with layers computed again, {kept} without");
    let memory = format!("--memory={}", again + (kept - again) / 2);
    let memory = [&memory[..]];
    let words = ["together", "--gradient-checkpointing", "activations: ", "one run needs"];
    place.refuse(&[&shape[..], &memory].concat(), 2, &words);
    place.succeed(&[&shape[..], &memory, &["--gradient-checkpointing"]].concat());
    let told = place.succeed(&with(&["--dry-run"])).stdout;
    assert!(told.contains(" fit ") && told.contains("A run takes less with: "), "{told}");
}

#[test]
fn a_start_that_reads_data_has_lines_of_its_own() {
    let place = Place::new();
    let told =
        place.succeed(&["sweep", "--base", "nano", "--schemes", "init-a,eva", "--seeds", "1", "--dry-run"]).stdout;
    for words in [", the training:", ", the start of eva:", "components of 80 columns: ", "At most ", "validation"] {
        assert!(told.contains(words), "no «{words}» in:\n{told}");
    }
    assert!(!told.contains("the start of init-a"), "{told}");
}
