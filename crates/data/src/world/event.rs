//! The state of the little world, which has the place of each person and the place or holder of each thing, and the events that change it.

use loralab_linalg::Draws;

use super::words::{
    ACT, ADJECTIVES, ANIMALS, CARE, DROP, FEELINGS, FOODS, GIVE, MEET, OBJECTS, PEOPLE, PLACES, Person, Place, TAKE,
    TRAVEL,
};
use super::{pick, sample};

/// A thing that can be held: *the red cup*.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Thing {
    pub adjective: &'static str,
    pub noun: &'static str,
    pub food: bool,
}

/// The people, places and things of one story; events name them by their index.
#[derive(Clone, Debug)]
pub(crate) struct Cast {
    pub people: Vec<Person>,
    pub places: Vec<Place>,
    pub things: Vec<Thing>,
}

impl Cast {
    /// So many different people and places, with `objects` things and one more that is food.
    pub fn draw(draws: &mut Draws, people: usize, places: usize, objects: usize) -> Self {
        let objects = sample(draws, &OBJECTS, objects).into_iter().map(|noun| (noun, false));
        let foods = sample(draws, &FOODS, 1).into_iter().map(|noun| (noun, true));
        let nouns: Vec<_> = objects.chain(foods).collect();
        let things =
            nouns.into_iter().map(|(noun, food)| Thing { adjective: pick(draws, &ADJECTIVES), noun, food }).collect();
        Self { people: sample(draws, &PEOPLE, people), places: sample(draws, &PLACES, places), things }
    }
}

/// The place or the holder of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Keeper {
    Place(usize),
    Person(usize),
    /// It was eaten.
    Nobody,
}

/// The state of the world: the place of each person, who sleeps, and the place or holder of each thing.
#[derive(Clone, Debug)]
pub(crate) struct State {
    /// The place of each person.
    pub places: Vec<usize>,
    /// True if each person sleeps.
    pub asleep: Vec<bool>,
    /// The place or the holder of each thing.
    pub keepers: Vec<Keeper>,
}

impl State {
    /// Everyone awake, and everyone and everything at some place.
    pub fn draw(draws: &mut Draws, cast: &Cast) -> Self {
        Self {
            places: cast.people.iter().map(|_| index(draws, cast.places.len())).collect(),
            asleep: vec![false; cast.people.len()],
            keepers: cast.things.iter().map(|_| Keeper::Place(index(draws, cast.places.len()))).collect(),
        }
    }
}

/// Something `who` does. People, places and things are indices into the story's [`Cast`]; verbs and the like are words.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Event {
    pub who: usize,
    pub deed: Deed,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Deed {
    Go {
        verb: &'static str,
        place: usize,
    },
    Take {
        verb: &'static str,
        thing: usize,
    },
    Drop {
        verb: &'static str,
        thing: usize,
    },
    Give {
        verb: &'static str,
        thing: usize,
        whom: usize,
    },
    Eat {
        thing: usize,
    },
    Sleep,
    Wake,
    Meet {
        verb: &'static str,
        whom: usize,
    },
    Act {
        verb: &'static str,
    },
    Feel {
        feeling: &'static str,
    },
    Care {
        verb: &'static str,
        adjective: &'static str,
        animal: &'static str,
    },
    /// Asks `whom` where a thing is.
    Ask {
        whom: usize,
        thing: usize,
    },
    /// Says what they have.
    Boast {
        thing: usize,
    },
    /// Says where they are.
    Report,
}

impl Event {
    /// Any event at all, possible or not.
    pub fn draw(draws: &mut Draws, cast: &Cast) -> Self {
        let thing = index(draws, cast.things.len());
        let whom = index(draws, cast.people.len());
        let deed = match draws.below(19) {
            0..3 => Deed::Go { verb: pick(draws, &TRAVEL), place: index(draws, cast.places.len()) },
            3..6 => Deed::Take { verb: pick(draws, &TAKE), thing },
            6 => Deed::Drop { verb: pick(draws, &DROP), thing },
            7..9 => Deed::Give { verb: pick(draws, &GIVE), thing, whom },
            9 => Deed::Eat { thing },
            10 => Deed::Sleep,
            11 => Deed::Wake,
            12 => Deed::Meet { verb: pick(draws, &MEET), whom },
            13 => Deed::Act { verb: pick(draws, &ACT) },
            14 => Deed::Feel { feeling: pick(draws, &FEELINGS) },
            15 => Deed::Care {
                verb: pick(draws, &CARE),
                adjective: pick(draws, &ADJECTIVES),
                animal: pick(draws, &ANIMALS),
            },
            16 => Deed::Ask { whom, thing },
            17 => Deed::Boast { thing },
            _ => Deed::Report,
        };
        Self { who: index(draws, cast.people.len()), deed }
    }

    /// True if this can happen now: sleepers only wake, one goes elsewhere, takes what lies here, gives what one holds to someone here.
    pub fn possible(&self, cast: &Cast, state: &State) -> bool {
        let who = self.who;
        let place = state.places[who];
        let holds = |thing: usize| state.keepers[thing] == Keeper::Person(who);
        let near = |whom: usize| whom != who && state.places[whom] == place && !state.asleep[whom];
        if state.asleep[who] {
            return matches!(self.deed, Deed::Wake);
        }
        match self.deed {
            Deed::Go { place: to, .. } => to != place,
            Deed::Take { thing, .. } => state.keepers[thing] == Keeper::Place(place),
            Deed::Drop { thing, .. } | Deed::Boast { thing } => holds(thing),
            Deed::Give { thing, whom, .. } => holds(thing) && near(whom),
            Deed::Eat { thing } => holds(thing) && cast.things[thing].food,
            Deed::Wake => false,
            Deed::Meet { whom, .. } => near(whom),
            Deed::Ask { whom, thing } => near(whom) && !holds(thing),
            Deed::Sleep | Deed::Act { .. } | Deed::Feel { .. } | Deed::Care { .. } | Deed::Report => true,
        }
    }

    /// Lets it happen.
    pub fn apply(&self, state: &mut State) {
        let who = self.who;
        match self.deed {
            Deed::Go { place, .. } => state.places[who] = place,
            Deed::Take { thing, .. } => state.keepers[thing] = Keeper::Person(who),
            Deed::Drop { thing, .. } => state.keepers[thing] = Keeper::Place(state.places[who]),
            Deed::Give { thing, whom, .. } => state.keepers[thing] = Keeper::Person(whom),
            Deed::Eat { thing } => state.keepers[thing] = Keeper::Nobody,
            Deed::Sleep => state.asleep[who] = true,
            Deed::Wake => state.asleep[who] = false,
            Deed::Meet { .. }
            | Deed::Act { .. }
            | Deed::Feel { .. }
            | Deed::Care { .. }
            | Deed::Ask { .. }
            | Deed::Boast { .. }
            | Deed::Report => {}
        }
    }

    /// True if it makes a sentence of its own, out of any story: no talk, no waking up, which needs a sleep before it.
    pub fn stands_alone(&self, cast: &Cast) -> bool {
        let Self { who, deed } = *self;
        match deed {
            Deed::Wake | Deed::Ask { .. } | Deed::Boast { .. } | Deed::Report => false,
            Deed::Give { whom, .. } | Deed::Meet { whom, .. } => whom != who,
            Deed::Eat { thing } => cast.things[thing].food,
            _ => true,
        }
    }
}

/// An index into a table of `length` entries.
fn index(draws: &mut Draws, length: usize) -> usize {
    super::below(draws, length)
}
