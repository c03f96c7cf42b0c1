//! Questions about stories of one or two sentences, with one right answer each.

use loralab_linalg::Draws;

use crate::world::words::{OBJECTS, PEOPLE, PLACES};
use crate::world::{pick, sample};

/// `Ben ran to the inn. Mia ran to the mill. Where is Ben?` → `inn`
pub(super) fn example(draws: &mut Draws) -> (String, String) {
    let people = sample(draws, &PEOPLE, 2);
    let (one, other) = (people[0].name, people[1].name);
    let places = sample(draws, &PLACES, 2);
    let (place, elsewhere) = (places[0].name, places[1].name);
    let things = sample(draws, &OBJECTS, 2);
    let (thing, second) = (things[0], things[1]);
    let go = pick(draws, &["went", "ran", "came"]);
    let take = pick(draws, &["took", "found"]);

    let (mut facts, question, answer) = match draws.below(6) {
        0 => (vec![format!("{one} {go} to the {place}.")], format!("Where is {one}?"), place),
        1 => (
            vec![format!("{one} {go} to the {place}."), format!("{other} {go} to the {elsewhere}.")],
            format!("Where is {one}?"),
            place,
        ),
        2 => (vec![format!("{one} {take} the {thing}.")], format!("Who has the {thing}?"), one),
        3 => (
            vec![format!("{one} {take} the {thing}."), format!("{other} {take} the {second}.")],
            format!("Who has the {thing}?"),
            one,
        ),
        4 => (vec![format!("{one} {take} the {thing}.")], format!("What has {one}?"), thing),
        _ => (vec![format!("{one} gave the {thing} to {other}.")], format!("Who has the {thing}?"), other),
    };
    // Two facts are about different people and things, so the answer stays; only its place must not be told by the order.
    draws.shuffle(&mut facts);
    (format!("{} {question}", facts.join(" ")), answer.to_owned())
}
