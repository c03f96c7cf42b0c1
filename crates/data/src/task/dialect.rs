//! Dialects: English changed by a handful of fixed, local rules, for the translation task and for the pretraining exercises.

use loralab_linalg::Draws;

use crate::world::words::ADJECTIVES;
use crate::world::{pick, sample};

/// A replacement of one word, or of one group of letters, by another.
type Rule = (&'static str, &'static str);

// The dialect of the translation task, all of it. Pretraining must not show any of the words these rules make.

/// Whole words that change: the article, a preposition, and irregular verbs made regular.
const TARGET_WORDS: [Rule; 16] = [
    ("the", "ze"),
    ("to", "zu"),
    ("took", "taket"),
    ("found", "findet"),
    ("gave", "givet"),
    ("went", "goet"),
    ("ran", "runnet"),
    ("came", "comet"),
    ("left", "leavet"),
    ("ate", "eatet"),
    ("slept", "sleepet"),
    ("met", "meetet"),
    ("sang", "singet"),
    ("sat", "sittet"),
    ("saw", "seet"),
    ("fed", "feedet"),
];
/// Letters that change in every other word.
const TARGET_LETTERS: [Rule; 3] = [("ed", "et"), ("th", "z"), ("w", "v")];
/// True if `red cup` becomes `cup red`.
const TARGET_NOUN_FIRST: bool = false;

// The words and rules that the exercises draw from.

const EXERCISE_ARTICLES: [&str; 5] = ["le", "da", "un", "ka", "oz"];
const EXERCISE_VERBS: [Rule; 15] = [
    ("took", "takes"),
    ("found", "finds"),
    ("gave", "gives"),
    ("went", "goes"),
    ("ran", "runs"),
    ("came", "comes"),
    ("left", "leaves"),
    ("ate", "eats"),
    ("slept", "sleeps"),
    ("met", "meets"),
    ("sang", "sings"),
    ("sat", "sits"),
    ("saw", "sees"),
    ("fed", "feeds"),
    ("was", "is"),
];
const EXERCISE_LETTERS: [Rule; 14] = [
    ("b", "p"),
    ("g", "k"),
    ("f", "v"),
    ("s", "z"),
    ("l", "r"),
    ("c", "q"),
    ("ck", "x"),
    ("ee", "i"),
    ("oo", "u"),
    ("a", "o"),
    ("o", "a"),
    ("e", "i"),
    ("u", "y"),
    ("h", "j"),
];

/// A systematic change of English.
///
/// Words are replaced first; in a word that has no replacement, letters are. A capital stays a capital.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dialect {
    words: Vec<Rule>,
    letters: Vec<Rule>,
    noun_first: bool,
}

impl Dialect {
    /// The dialect of the translation task.
    pub fn target() -> Self {
        Self { words: TARGET_WORDS.to_vec(), letters: TARGET_LETTERS.to_vec(), noun_first: TARGET_NOUN_FIRST }
    }

    /// Some dialect for an exercise: the article, the tense, up to two letters and the order of adjective and noun may change.
    pub fn exercise(draws: &mut Draws) -> Self {
        let mut words = Vec::new();
        if draws.chance(1, 2) {
            words.push(("the", pick(draws, &EXERCISE_ARTICLES)));
        }
        if draws.chance(1, 3) {
            words.extend(EXERCISE_VERBS);
        }
        let count = crate::world::below(draws, 3);
        Self { words, letters: sample(draws, &EXERCISE_LETTERS, count), noun_first: draws.chance(1, 4) }
    }

    /// The text in this dialect. Letters are ASCII; anything else stays.
    pub fn respell(&self, text: &str) -> String {
        let mut pieces = pieces(text);
        if self.noun_first {
            let mut start = 0;
            while start + 2 < pieces.len() {
                if ADJECTIVES.contains(&pieces[start]) && pieces[start + 1] == " " {
                    pieces.swap(start, start + 2);
                    start += 2;
                }
                start += 1;
            }
        }
        pieces.into_iter().map(|piece| self.respell_word(piece)).collect()
    }

    fn respell_word(&self, word: &str) -> String {
        let lower = word.to_ascii_lowercase();
        let new = match self.words.iter().find(|(from, _)| *from == lower) {
            Some((_, to)) => (*to).to_owned(),
            None => self.respell_letters(&lower),
        };
        match word.starts_with(|first: char| first.is_ascii_uppercase()) {
            true => new[..1].to_ascii_uppercase() + &new[1..],
            false => new,
        }
    }

    /// From left to right, the longest rule that fits; what a rule made is not changed again.
    fn respell_letters(&self, word: &str) -> String {
        let mut new = String::new();
        let mut rest = word;
        while let Some(first) = rest.chars().next() {
            let rule =
                self.letters.iter().filter(|(from, _)| rest.starts_with(from)).max_by_key(|(from, _)| from.len());
            match rule {
                Some((from, to)) => {
                    new.push_str(to);
                    rest = &rest[from.len()..];
                }
                None => {
                    new.push(first);
                    rest = &rest[first.len_utf8()..];
                }
            }
        }
        new
    }
}

/// The text cut into words (runs of ASCII letters) and what stands between them.
pub(crate) fn pieces(text: &str) -> Vec<&str> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let letter = first.is_ascii_alphabetic();
        let end = rest.find(|other: char| other.is_ascii_alphabetic() != letter).unwrap_or(rest.len());
        pieces.push(&rest[..end]);
        rest = &rest[end..];
    }
    pieces
}

#[cfg(test)]
mod tests;
