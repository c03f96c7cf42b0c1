use std::collections::HashSet;

use super::event::{Deed, Keeper};
use super::words::vocabulary;
use super::*;
use crate::hash::fnv;
use crate::task::dialect::pieces;

fn stories(count: usize) -> Vec<String> {
    let mut draws = Draws::new(1, "stories");
    (0..count).map(|_| story(&mut draws)).collect()
}

#[test]
fn stories_are_printable_ascii_paragraphs_of_known_words() {
    let known: HashSet<String> = vocabulary().map(str::to_ascii_lowercase).collect();
    assert!((150..=250).contains(&known.len()), "{} words", known.len());
    let mut used = HashSet::new();
    for story in stories(2000) {
        assert!(story.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{story}");
        assert!(!story.contains("  ") && story.ends_with('.'), "{story}");
        used.extend(
            pieces(&story)
                .into_iter()
                .filter(|piece| piece.as_bytes()[0].is_ascii_alphabetic())
                .map(str::to_ascii_lowercase),
        );
    }
    let unknown: Vec<_> = used.difference(&known).collect();
    assert!(unknown.is_empty(), "not in the vocabulary: {unknown:?}");
}

#[test]
fn the_vocabulary_names_no_word_twice() {
    let mut seen = HashSet::new();
    let twice: Vec<_> = vocabulary().filter(|word| !seen.insert(*word)).collect();
    assert!(twice.is_empty(), "{twice:?}");
}

#[test]
fn sentences_are_short_and_manifold() {
    let mut draws = Draws::new(2, "sentences");
    let sentences: Vec<String> = (0..4000).map(|_| sentence(&mut draws)).collect();
    assert!(sentences.iter().all(|sentence| (10..=45).contains(&sentence.len())), "{sentences:?}");
    let different: HashSet<_> = sentences.iter().collect();
    assert!(different.len() > 3000, "{} different of 4000", different.len());
}

/// Follows the events with a book-keeping of its own: a list of (person, thing) holdings and of whereabouts.
#[test]
fn what_happens_is_consistent() {
    let mut kinds = HashSet::new();
    for seed in 0..200 {
        let mut draws = Draws::new(seed, "consistency");
        let cast = Cast::draw(&mut draws, 3, 3, 3);
        let mut state = State::draw(&mut draws, &cast);
        let mut place = state.places.clone();
        let mut lying: HashSet<(usize, usize)> = HashSet::new();
        for (thing, keeper) in state.keepers.iter().enumerate() {
            let Keeper::Place(place) = *keeper else { panic!("things start at places") };
            lying.insert((thing, place));
        }
        let mut held = HashSet::new();
        let mut asleep = HashSet::new();
        for _ in 0..100 {
            let Event { who, deed } = next_event(&mut draws, &cast, &state);
            Event { who, deed }.apply(&mut state);
            kinds.insert(std::mem::discriminant(&deed));
            assert_eq!(matches!(deed, Deed::Wake), asleep.contains(&who), "who sleeps does nothing but wake");
            let awake_here = |whom: usize, asleep: &HashSet<usize>| {
                whom != who && place[whom] == place[who] && !asleep.contains(&whom)
            };
            match deed {
                Deed::Go { place: to, .. } => assert_ne!(std::mem::replace(&mut place[who], to), to),
                Deed::Take { thing, .. } => {
                    assert!(lying.remove(&(thing, place[who])));
                    held.insert((who, thing));
                }
                Deed::Drop { thing, .. } => {
                    assert!(held.remove(&(who, thing)));
                    lying.insert((thing, place[who]));
                }
                Deed::Give { thing, whom, .. } => {
                    assert!(held.remove(&(who, thing)) && awake_here(whom, &asleep));
                    held.insert((whom, thing));
                }
                Deed::Eat { thing } => assert!(held.remove(&(who, thing)) && cast.things[thing].food),
                Deed::Sleep => assert!(asleep.insert(who)),
                Deed::Wake => assert!(asleep.remove(&who)),
                Deed::Meet { whom, .. } => assert!(awake_here(whom, &asleep)),
                Deed::Ask { whom, thing } => assert!(awake_here(whom, &asleep) && !held.contains(&(who, thing))),
                Deed::Boast { thing } => assert!(held.contains(&(who, thing))),
                Deed::Act { .. } | Deed::Feel { .. } | Deed::Care { .. } | Deed::Report => {}
            }
        }
    }
    assert_eq!(kinds.len(), 14, "every kind of event happens");
}

#[test]
fn stories_are_the_same_everywhere() {
    let text = stories(1000).join("\n");
    assert_eq!(fnv(&text), 1_450_474_007_669_891_623, "{}", &text[..600]);
}
