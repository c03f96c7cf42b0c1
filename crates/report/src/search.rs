//! The section on the search for a sweep's learning rates.

use loralab_experiment::{Choice, learning_rate_text};

use crate::{Cell, Section, Table};

/// The choices of a search, and their reasons.
pub fn of_search(choices: &[Choice]) -> Section {
    let row = |choice: &Choice| {
        let seeds: Vec<String> = choice.seeds.iter().map(u64::to_string).collect();
        vec![
            Cell::whole(choice.round),
            Cell::text(&choice.scheme),
            Cell::number(Some(choice.learning_rate), learning_rate_text),
            Cell::text(seeds.join(", ")),
            Cell::text(choice.why.words()),
        ]
    };
    Section {
        heading: "How the learning rates were searched for".to_owned(),
        text: vec![
            "Rates are doublings of 1e-3. Rates far from a scheme's best have one seed; the step to them counts as that of the others; the edge is found with \
             that one seed. The best, its neighbours, and the neighbours of what more than one resample of the seeds in a hundred puts at an end have every \
             seed."
                .to_owned(),
        ],
        tables: vec![Table {
            name: "search".to_owned(),
            caption: "Round by round, what was tried and why.".to_owned(),
            head: ["round", "scheme", "learning rate", "new seeds", "why"].map(str::to_owned).into(),
            rows: choices.iter().map(row).collect(),
        }],
        ..Section::default()
    }
}
