use std::path::Path;

use super::{run, train};

/// Relative: processors differ in vector width and fused multiply-add, and AdamW amplifies what rounds differently.
const TOLERANCE: f64 = 1e-4;

const WRITE: &str = "LORALAB_WRITE_GOLDEN";

#[test]
fn ten_losses_are_those_written_down() {
    let losses = train(&[run("init-a", 0, 4e-3)], 10, 2)[0].losses.clone();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/nano.txt");
    if std::env::var_os(WRITE).is_some() {
        let head = "# Losses of the first ten steps of nano on translation: init-a, seed 0, rank 8, scale 2, AdamW at 4e-3, batch 4 × 64.\n\
                    # Written by: LORALAB_WRITE_GOLDEN=1 cargo test --test tests golden\n";
        let lines: String = losses.iter().map(|loss| format!("{loss:.9}\n")).collect();
        std::fs::write(&file, format!("{head}{lines}")).expect("the golden file can be written");
    }
    let text = std::fs::read_to_string(&file).expect("the golden file is there");
    let golden: Vec<f64> = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.parse().expect("a line holds one loss"))
        .collect();
    assert_eq!(golden.len(), losses.len());
    for (step, (loss, golden)) in losses.iter().zip(&golden).enumerate() {
        let difference = (loss - golden).abs() / golden;
        assert!(difference <= TOLERANCE, "step {}: loss {loss}, but {golden} was written down", step + 1);
    }
}
