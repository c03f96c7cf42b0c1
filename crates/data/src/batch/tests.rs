#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use loralab_tokenizer::Tokenizer;

use super::*;
use crate::example::{Example, Examples};

fn examples(count: usize) -> Dataset {
    Dataset::Examples((0..count).map(|number| example(&format!("{number}>"), &format!("{number:03}\n"))).collect())
}

fn example(prompt: &str, completion: &str) -> Example {
    Example { prompt: Tokenizer::Bytes.encode(prompt), completion: Tokenizer::Bytes.encode(completion) }
}

fn text(length: u32) -> Dataset {
    Dataset::Text((1..=length).collect())
}

fn bytes(text: &str, width: usize) -> Vec<u32> {
    let mut tokens = Tokenizer::Bytes.encode(text);
    tokens.resize(width, 0);
    tokens
}

#[test]
fn the_loss_of_an_example_counts_its_completion() {
    let batches = validation(&examples(2), 2, 8, 2).unwrap();
    let [batch] = batches.as_slice() else { panic!("one batch") };
    assert_eq!(batch.tokens, [bytes("0>000", 8), bytes("1>001", 8)].concat());
    assert_eq!(batch.targets, [bytes(">000\n", 8), bytes(">001\n", 8)].concat());
    let share = 1.0 / 8.0;
    let row = [0.0, share, share, share, share, 0.0, 0.0, 0.0];
    assert_eq!(batch.weights, [row, row].concat());
    assert_eq!((batch.counted, batch.examples.as_slice()), (8, [Some(0), Some(1)].as_slice()));
}

#[test]
fn an_example_may_fill_the_whole_sequence() {
    let dataset = Dataset::Examples(vec![example("ab", "cd")].into());
    let batch = Sampler::new(&dataset, 0, 1, 4).unwrap().batch(0);
    assert_eq!((batch.tokens, batch.targets), (bytes("abc", 4), bytes("bcd", 4)));
    assert_eq!(batch.weights, [0.0, 0.5, 0.5, 0.0]);
}

#[test]
fn packed_examples_are_apart() {
    let mut examples = Examples::default();
    examples.push(&[1, 2, 3, 4, 5], &[1..2, 4..5]);
    let taught = 2..3;
    examples.push(&[6, 7, 8], &[taught]);
    let dataset = Dataset::Examples(examples).packed(8);
    assert_eq!(dataset.sequences(8), 1);
    let batch = Sampler::new(&dataset, 0, 1, 8).unwrap().batch(3);
    assert_eq!(batch.tokens, [1, 2, 3, 4, 6, 7, 0, 0]);
    assert_eq!(batch.targets, [2, 3, 4, 5, 7, 8, 0, 0]);
    assert_eq!(batch.segments, [1, 1, 1, 1, 2, 2, 0, 0]);
    assert_eq!(batch.positions[..6], [0, 1, 2, 3, 0, 1]);
    let third = 1.0 / 3.0;
    assert_eq!(batch.weights, [third, 0.0, 0.0, third, 0.0, third, 0.0, 0.0]);
    assert_eq!((batch.counted, batch.counted_bytes(&Tokenizer::Bytes), &batch.examples[..]), (3, 3, &[None][..]));
}

#[test]
fn segments_tell_padding() {
    let batch = &validation(&examples(1), 2, 6, 2).unwrap()[0];
    assert_eq!(batch.segments, [1, 1, 1, 1, 1, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(batch.positions, [0, 1, 2, 3, 4, 5, 0, 1, 2, 3, 4, 5]);
    let text = Sampler::new(&text(9), 0, 1, 8).unwrap().batch(0).segments;
    assert_eq!(text, [1; 8]);
}

#[test]
fn the_loss_of_a_text_counts_every_position() {
    let dataset = text(200);
    let mut sampler = Sampler::new(&dataset, 3, 4, 16).unwrap();
    let mut starts = HashSet::new();
    for step in 0..500 {
        let batch = sampler.batch(step);
        assert!(batch.weights.iter().all(|&weight| weight == 1.0 / 64.0));
        assert_eq!((batch.counted, batch.examples.as_slice()), (64, [None; 4].as_slice()));
        for (token, target) in batch.tokens.iter().zip(&batch.targets) {
            assert_eq!(token + 1, *target);
        }
        starts.extend(batch.tokens.chunks(16).map(|row| row[0]));
    }
    // Windows start at every byte that has 16 after it.
    assert_eq!((starts.len(), starts.iter().min(), starts.iter().max()), (184, Some(&1), Some(&184)));
}

#[test]
fn a_text_of_one_sequence_has_one_window() {
    // A vocabulary may be larger than a byte, or two.
    let dataset = Dataset::Text((70_001..=70_017).collect());
    assert_eq!(Sampler::new(&dataset, 0, 1, 16).unwrap().batch(5).targets[15], 70_017);
    assert!(Sampler::new(&dataset, 0, 1, 17).is_err());
}

#[test]
fn an_epoch_shows_every_example_once() {
    let dataset = examples(10);
    let mut sampler = Sampler::new(&dataset, 1, 4, 8).unwrap();
    let order: Vec<usize> =
        (0..10).flat_map(|step| sampler.batch(step).examples).map(|example| example.unwrap()).collect();
    let epochs: Vec<&[usize]> = order.chunks(10).collect();
    assert_eq!(epochs.len(), 4);
    for epoch in &epochs {
        assert_eq!(epoch.iter().collect::<HashSet<_>>().len(), 10);
    }
    assert_ne!(epochs[0], epochs[1]);
    assert_ne!(epochs[0], (0..10).collect::<Vec<_>>());
}

#[test]
fn a_batch_depends_on_seed_and_step_only() {
    for dataset in [examples(10), text(100)] {
        let sampler = |seed| Sampler::new(&dataset, seed, 4, 8).unwrap();
        let mut in_order = sampler(1);
        let batches: Vec<Batch> = (0..12).map(|step| in_order.batch(step)).collect();
        let mut backwards = sampler(1);
        for step in (0..12).rev() {
            assert_eq!(backwards.batch(step), batches[step as usize]);
            assert_eq!(sampler(1).batch(step), batches[step as usize]);
            assert_ne!(sampler(2).batch(step), batches[step as usize]);
        }
    }
}

#[test]
fn validation_reads_everything_once_in_order() {
    let batches = validation(&examples(7), 3, 8, usize::MAX).unwrap();
    let order: Vec<_> = batches.iter().flat_map(|batch| batch.examples.clone()).collect();
    assert_eq!(order, [Some(0), Some(1), Some(2), Some(3), Some(4), Some(5), Some(6), None, None]);
    let last = &batches[2];
    assert_eq!((last.counted, last.weights.iter().sum::<f32>()), (4, 1.0));
    assert!(last.weights[8..].iter().all(|&weight| weight == 0.0) && last.tokens[8..].iter().all(|&token| token == 0));

    let batches = validation(&text(100), 2, 32, usize::MAX).unwrap();
    let starts: Vec<u32> = batches.iter().flat_map(|batch| batch.tokens.chunks(32).map(|row| row[0])).collect();
    assert_eq!(starts, [1, 33, 65, 0], "three windows and padding");
    assert_eq!((batches[1].counted, batches[1].targets[31]), (32, 97));
}

#[test]
fn a_limit_spreads_over_the_data() {
    let chosen: Vec<_> =
        validation(&examples(10), 4, 8, 5).unwrap().iter().flat_map(|batch| batch.examples.clone()).flatten().collect();
    assert_eq!(chosen, [0, 2, 4, 6, 8]);
    assert_eq!(validation(&examples(10), 4, 8, 0).unwrap(), []);
}

#[test]
fn an_example_matches_if_all_of_it_is_right() {
    let batch = &validation(&examples(3), 4, 8, 3).unwrap()[0];
    let mut correct = vec![1.0; 32];
    assert_eq!(batch.exact_matches(&correct), ExactMatches { matched: 3, examples: 3 });
    correct[8 + 3] = 0.0;
    let mut matches = batch.exact_matches(&correct);
    assert_eq!(matches, ExactMatches { matched: 2, examples: 3 });
    matches += ExactMatches { matched: 1, examples: 1 };
    assert_eq!(matches.fraction(), Some(0.75));
    assert_eq!(ExactMatches::default().fraction(), None);
}

#[test]
fn a_batch_of_nothing_is_refused() {
    let dataset = text(100);
    for (sequences, tokens) in [(0, 8), (8, 0), (usize::MAX, 2), (1 << 20, 1 << 20)] {
        assert_eq!(Sampler::new(&dataset, 0, sequences, tokens).unwrap_err(), Error::BatchShape { sequences, tokens });
        assert_eq!(validation(&dataset, sequences, tokens, 9), Err(Error::BatchShape { sequences, tokens }));
    }
}
