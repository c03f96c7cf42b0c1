//! Puts events into words.

use loralab_linalg::Draws;

use super::event::{Cast, Deed, Event, Keeper, State};
use super::words::Place;

/// *in the barn*
pub(crate) fn locative(place: &Place) -> String {
    format!("{} the {}", place.preposition, place.name)
}

/// *the red cup*, or at times just *the cup*.
fn thing(draws: &mut Draws, cast: &Cast, thing: usize) -> String {
    let thing = cast.things[thing];
    if draws.chance(2, 3) { format!("the {} {}", thing.adjective, thing.noun) } else { format!("the {}", thing.noun) }
}

/// The sentence of an event that has just happened, `subject` being its doer's name or pronoun. Its place is mentioned at times.
pub(crate) fn sentence(draws: &mut Draws, cast: &Cast, state: &State, subject: &str, event: Event) -> String {
    let place = &cast.places[state.places[event.who]];
    let here = |draws: &mut Draws| match draws.chance(1, 2) {
        true => format!(" {}", locative(place)),
        false => String::new(),
    };
    let name = |person: usize| cast.people[person].name;
    match event.deed {
        Deed::Go { verb, place } => format!("{subject} {verb} to the {}.", cast.places[place].name),
        // Only these two read well with a place: one took the cup, but found or left it in the barn.
        Deed::Take { verb: verb @ "found", thing: it } | Deed::Drop { verb: verb @ "left", thing: it } => {
            format!("{subject} {verb} {}{}.", thing(draws, cast, it), here(draws))
        }
        Deed::Take { verb, thing: it } | Deed::Drop { verb, thing: it } => {
            format!("{subject} {verb} {}.", thing(draws, cast, it))
        }
        Deed::Give { verb, thing: it, whom } => {
            format!("{subject} {verb} {} to {}.", thing(draws, cast, it), name(whom))
        }
        Deed::Eat { thing: it } => format!("{subject} ate {}.", thing(draws, cast, it)),
        Deed::Sleep => format!("{subject} slept {}.", locative(place)),
        Deed::Wake => format!("{subject} woke up."),
        Deed::Meet { verb, whom } => format!("{subject} {verb} {}{}.", name(whom), here(draws)),
        Deed::Act { verb } => format!("{subject} {verb} {}.", locative(place)),
        Deed::Feel { feeling } => format!("{subject} was {feeling}."),
        Deed::Care { verb, adjective, animal } => format!("{subject} {verb} the {adjective} {animal}."),
        Deed::Ask { whom, thing: it } => {
            let question = thing(draws, cast, it);
            let answer = match state.keepers[it] {
                Keeper::Nobody => "It is gone".to_owned(),
                Keeper::Place(place) => format!("It is {}", locative(&cast.places[place])),
                Keeper::Person(person) if person == whom => "I have it".to_owned(),
                Keeper::Person(person) => format!("{} has it", name(person)),
            };
            format!("{subject} asked: Where is {question}? {} said: {answer}.", name(whom))
        }
        Deed::Boast { thing: it } => format!("{subject} said: I have {}.", thing(draws, cast, it)),
        Deed::Report => format!("{subject} said: I am {}.", locative(place)),
    }
}
