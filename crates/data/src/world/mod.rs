//! A synthetic little world: people who walk between places, take and give things, eat, sleep and talk. Its stories are plain English
//! in short sentences, and consistent: nobody gives what they do not hold. All ASCII, and a pure function of the draws.

mod event;
mod telling;
pub(crate) mod words;

use loralab_linalg::Draws;

use event::{Cast, Event, State};

const ENDINGS: [&str; 4] = ["Then it was night.", "It was a long day.", "Everyone was there.", "Soon it was morning."];

/// A story of about ten sentences in one paragraph, without a line break.
pub fn story(draws: &mut Draws) -> String {
    let people = 2 + below(draws, 2);
    let cast = Cast::draw(draws, people, 3, 3);
    let mut state = State::draw(draws, &cast);
    let mut sentences = opening(draws, &cast, &state);
    let mut subject = None;
    for _ in 0..6 + below(draws, 5) {
        let event = next_event(draws, &cast, &state);
        let person = cast.people[event.who];
        let name = if subject == Some(event.who) && draws.chance(1, 2) { person.pronoun } else { person.name };
        event.apply(&mut state);
        sentences.push(telling::sentence(draws, &cast, &state, name, event));
        subject = Some(event.who);
    }
    sentences.push(pick(draws, &ENDINGS).to_owned());
    sentences.join(" ")
}

/// One sentence about one thing that somebody did, with names and no pronouns: `Anna took the red cup.`
pub fn sentence(draws: &mut Draws) -> String {
    let cast = Cast::draw(draws, 2, 2, 1);
    let mut state = State::draw(draws, &cast);
    loop {
        let event = Event::draw(draws, &cast);
        if event.stands_alone(&cast) {
            event.apply(&mut state);
            return telling::sentence(draws, &cast, &state, cast.people[event.who].name, event);
        }
    }
}

/// A sentence on the place of each person, then sentences on the places of some of the things.
fn opening(draws: &mut Draws, cast: &Cast, state: &State) -> Vec<String> {
    let mut sentences = Vec::new();
    for (person, &place) in cast.people.iter().zip(&state.places) {
        sentences.push(format!("{} was {}.", person.name, telling::locative(&cast.places[place])));
    }
    for (thing, keeper) in cast.things.iter().zip(&state.keepers) {
        if let event::Keeper::Place(place) = *keeper
            && draws.chance(1, 3)
        {
            let place = telling::locative(&cast.places[place]);
            sentences.push(format!("The {} {} was {place}.", thing.adjective, thing.noun));
        }
    }
    sentences
}

/// The first event drawn that is possible. There always is one: whoever is awake can act, whoever sleeps can wake.
fn next_event(draws: &mut Draws, cast: &Cast, state: &State) -> Event {
    loop {
        let event = Event::draw(draws, cast);
        if event.possible(cast, state) {
            return event;
        }
    }
}

/// A number below `bound`, which fits 32 bits for every table here.
pub(crate) fn below(draws: &mut Draws, bound: usize) -> usize {
    draws.below(u32::try_from(bound).expect("tables are short")) as usize
}

/// One of the items, each as likely as the others.
pub(crate) fn pick<T: Copy>(draws: &mut Draws, items: &[T]) -> T {
    items[below(draws, items.len())]
}

/// `count` different items, in random order.
pub(crate) fn sample<T: Clone>(draws: &mut Draws, items: &[T], count: usize) -> Vec<T> {
    let mut items = items.to_vec();
    draws.shuffle(&mut items);
    items.truncate(count);
    items
}

#[cfg(test)]
mod tests;
