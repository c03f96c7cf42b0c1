//! The text a base is pretrained on: stories of the little world, and exercises in the skills the tasks need (to copy, to respell,
//! to add, to answer) in other forms than the tasks', so that finetuning has something left to teach.

use std::collections::HashSet;

use loralab_linalg::Draws;
use loralab_tokenizer::Tokenizer;

use crate::task::dialect::{Dialect, pieces};
use crate::world::words::{OBJECTS, PEOPLE, PLACES, TAKE, TRAVEL, vocabulary};
use crate::world::{self, below, pick, sample};

/// The tokens of exactly `bytes` bytes of ASCII text, a pure function of (`seed`, `bytes`); a longer text starts with the shorter one. Each line is one
/// of these:
///
/// - a story of the little world (about four bytes of ten);
/// - an echo, of a sentence, a question or nonsense: `Anna sang.>Anna sang.`, `Who has the cup?>Who has the cup?`, `qok wuz>qok wuz`;
/// - a sentence in some [other dialect](Dialect::exercise): `Anna sang.>Onna sings.`;
/// - a conclusion: `Ben ran to the inn. Ida ran to the mill. Now Ben is at the inn.`;
/// - a sum in words, or turned around: `3 and 14 make 17.`, `3+14=14+3`.
///
/// No line contains a word that only the [target dialect](Dialect::target) has, or a task's answer after its prompt.
pub fn pretraining(tokenizer: &Tokenizer, seed: u64, bytes: usize) -> Vec<u32> {
    tokenizer.encode(&text(seed, bytes))
}

fn text(seed: u64, bytes: usize) -> String {
    let mut draws = Draws::new(seed, "pretraining");
    let forbidden = target_words();
    let mut text = String::with_capacity(bytes + 1024);
    while text.len() < bytes {
        let line = line(&mut draws);
        if !pieces(&line).iter().any(|piece| forbidden.contains(&piece.to_ascii_lowercase())) {
            text.push_str(&line);
            text.push('\n');
        }
    }
    text.truncate(bytes);
    text
}

fn line(draws: &mut Draws) -> String {
    match draws.below(100) {
        // A story is about eight times as long as the others.
        0..8 => world::story(draws),
        8..32 => {
            let sentence = world::sentence(draws);
            format!("{sentence}>{sentence}")
        }
        32..36 => {
            let question = question(draws);
            format!("{question}>{question}")
        }
        36..74 => {
            let sentence = world::sentence(draws);
            let respelled = Dialect::exercise(draws).respell(&sentence);
            format!("{sentence}>{respelled}")
        }
        74..82 => conclusion(draws),
        82..87 => {
            let nonsense = nonsense(draws);
            format!("{nonsense}>{nonsense}")
        }
        87..95 => {
            let (left, right) = (draws.below(50), draws.below(50));
            format!("{left} and {right} make {}.", left + right)
        }
        _ => {
            let (left, right) = (draws.below(100), draws.below(100));
            format!("{left}+{right}={right}+{left}")
        }
    }
}

/// A question without an answer.
fn question(draws: &mut Draws) -> String {
    let (who, thing) = (pick(draws, &PEOPLE).name, pick(draws, &OBJECTS));
    match draws.below(3) {
        0 => format!("Where is {who}?"),
        1 => format!("Who has the {thing}?"),
        _ => format!("What has {who}?"),
    }
}

/// Two facts, and what one of them means: `Ben ran to the inn. Mia ran to the mill. Now Ben is at the inn.`
fn conclusion(draws: &mut Draws) -> String {
    let people = sample(draws, &PEOPLE, 2);
    let (one, other) = (people[0].name, people[1].name);
    let (mut facts, conclusion) = if draws.chance(1, 2) {
        let places = sample(draws, &PLACES, 2);
        let verb = pick(draws, &TRAVEL);
        let facts =
            [(one, places[0]), (other, places[1])].map(|(who, place)| format!("{who} {verb} to the {}.", place.name));
        (facts, format!("Now {one} is {} the {}.", places[0].preposition, places[0].name))
    } else {
        let things = sample(draws, &OBJECTS, 2);
        let verb = pick(draws, &TAKE);
        let facts = [(one, things[0]), (other, things[1])].map(|(who, thing)| format!("{who} {verb} the {thing}."));
        (facts, format!("Now {one} has the {}.", things[0]))
    };
    draws.shuffle(&mut facts);
    format!("{} {} {conclusion}", facts[0], facts[1])
}

/// Two to four words of three to six random letters, some with a capital: what can only be copied letter by letter. A little is enough:
/// with three times as many of these lines, a base copied sentences worse after the same number of steps.
fn nonsense(draws: &mut Draws) -> String {
    let words = (0..2 + below(draws, 3)).map(|_| {
        let capital = draws.chance(1, 4);
        (0..3 + below(draws, 4))
            .map(|place| {
                let letter = char::from(b'a' + (draws.below(26) as u8));
                if capital && place == 0 { letter.to_ascii_uppercase() } else { letter }
            })
            .collect::<String>()
    });
    words.collect::<Vec<_>>().join(" ")
}

/// The words, in lower case, that the target dialect has and English has not.
fn target_words() -> HashSet<String> {
    let dialect = Dialect::target();
    let english: HashSet<String> = vocabulary().map(str::to_ascii_lowercase).collect();
    english.iter().map(|word| dialect.respell(word)).filter(|word| !english.contains(word)).collect()
}

#[cfg(test)]
mod tests;
