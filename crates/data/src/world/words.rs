//! Every word the little world knows, in tables. The vocabulary is small and every word frequent, so that a model of half a million
//! parameters can know all of it.

/// A person.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Person {
    pub name: &'static str,
    pub pronoun: &'static str,
}

const fn she(name: &'static str) -> Person {
    Person { name, pronoun: "She" }
}

const fn he(name: &'static str) -> Person {
    Person { name, pronoun: "He" }
}

/// A place and the preposition it takes: *at* the mill, *in* the barn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub name: &'static str,
    pub preposition: &'static str,
}

const fn at(name: &'static str) -> Place {
    Place { name, preposition: "at" }
}

const fn inside(name: &'static str) -> Place {
    Place { name, preposition: "in" }
}

const fn on(name: &'static str) -> Place {
    Place { name, preposition: "on" }
}

pub(crate) const PEOPLE: [Person; 16] = [
    she("Anna"),
    he("Ben"),
    she("Clara"),
    he("David"),
    she("Emma"),
    he("Felix"),
    she("Greta"),
    he("Hugo"),
    she("Ida"),
    he("Jonas"),
    she("Kira"),
    he("Leo"),
    she("Mia"),
    he("Nils"),
    she("Olga"),
    he("Paul"),
];

pub(crate) const PLACES: [Place; 16] = [
    at("mill"),
    at("market"),
    at("river"),
    at("school"),
    at("lake"),
    at("inn"),
    at("harbor"),
    inside("barn"),
    inside("house"),
    inside("garden"),
    inside("forest"),
    inside("field"),
    inside("kitchen"),
    inside("tower"),
    on("bridge"),
    on("hill"),
];

pub(crate) const OBJECTS: [&str; 20] = [
    "cup", "ball", "book", "key", "lamp", "hat", "coin", "rope", "drum", "bell", "kite", "shell", "ring", "stone",
    "box", "basket", "cloth", "feather", "spoon", "flower",
];

pub(crate) const FOODS: [&str; 8] = ["apple", "bread", "pear", "cake", "plum", "cheese", "egg", "nut"];

pub(crate) const ANIMALS: [&str; 8] = ["dog", "cat", "horse", "goat", "hen", "duck", "cow", "fox"];

pub(crate) const ADJECTIVES: [&str; 11] =
    ["red", "blue", "green", "white", "black", "yellow", "brown", "small", "big", "old", "new"];

pub(crate) const FEELINGS: [&str; 8] = ["happy", "sad", "tired", "hungry", "cold", "glad", "proud", "calm"];

/// ... to the mill.
pub(crate) const TRAVEL: [&str; 5] = ["went", "walked", "ran", "came", "hurried"];

/// ... the red cup, from now on held.
pub(crate) const TAKE: [&str; 3] = ["took", "found", "grabbed"];

/// ... the red cup, from now on lying here.
pub(crate) const DROP: [&str; 2] = ["dropped", "left"];

/// ... the red cup to Ben.
pub(crate) const GIVE: [&str; 2] = ["gave", "handed"];

/// ... Ben.
pub(crate) const MEET: [&str; 5] = ["met", "helped", "thanked", "called", "watched"];

/// ... at the mill.
pub(crate) const ACT: [&str; 7] = ["sang", "laughed", "danced", "worked", "played", "waited", "sat"];

/// ... the black dog.
pub(crate) const CARE: [&str; 4] = ["saw", "fed", "followed", "washed"];

/// All the words of the tables above and those the sentences are joined with, lower case except for names.
pub(crate) fn vocabulary() -> impl Iterator<Item = &'static str> {
    const JOINING: [&str; 44] = [
        "a", "am", "and", "asked", "at", "ate", "day", "everyone", "gone", "had", "has", "have", "he", "i", "in", "is",
        "it", "later", "long", "make", "morning", "night", "now", "on", "one", "said", "she", "slept", "soon", "the",
        "then", "there", "to", "too", "up", "was", "were", "what", "where", "who", "woke", "yes", "no", "hello",
    ];
    let names = PEOPLE.iter().map(|person| person.name).chain(PLACES.iter().map(|place| place.name));
    let tables: [&[&str]; 13] = [
        &OBJECTS,
        &FOODS,
        &ANIMALS,
        &ADJECTIVES,
        &FEELINGS,
        &TRAVEL,
        &TAKE,
        &DROP,
        &GIVE,
        &MEET,
        &ACT,
        &CARE,
        &JOINING,
    ];
    names.chain(tables.into_iter().flatten().copied())
}
