use super::*;

#[test]
fn the_target_dialect_follows_its_table() {
    let dialect = Dialect::target();
    for (english, wanted) in [
        ("Anna took the red cup.", "Anna taket ze ret cup."),
        ("Ben thanked Mia at the tower.", "Ben zanket Mia at ze tover."),
        ("The cow was white.", "Ze cov vas vhite."),
    ] {
        assert_eq!(dialect.respell(english), wanted);
    }
}

#[test]
fn each_kind_of_rule_does_its_part() {
    let rules = |words: &[Rule], letters: &[Rule], noun_first| Dialect {
        words: words.to_vec(),
        letters: letters.to_vec(),
        noun_first,
    };
    let text = "The old cup, a red key to Ida!";
    assert_eq!(rules(&[], &[], false).respell(text), text);
    assert_eq!(rules(&[("the", "da")], &[], false).respell(text), "Da old cup, a red key to Ida!");
    assert_eq!(rules(&[], &[("e", "i")], false).respell(text), "Thi old cup, a rid kiy to Ida!");
    assert_eq!(rules(&[], &[], true).respell(text), "The cup old, a key red to Ida!");
    // A word with a replacement keeps it; swapped letters do not swap back; the longer rule wins.
    assert_eq!(
        rules(&[("sad", "ees")], &[("e", "i"), ("i", "e"), ("ee", "x")], false).respell("sad bite see"),
        "ees beti sx"
    );
}

#[test]
fn exercises_vary_and_every_rule_is_drawn() {
    let mut draws = Draws::new(0, "test");
    let dialects: Vec<Dialect> = (0..2000).map(|_| Dialect::exercise(&mut draws)).collect();
    for rule in EXERCISE_LETTERS {
        assert!(dialects.iter().any(|dialect| dialect.letters.contains(&rule)), "{rule:?}");
    }
    for article in EXERCISE_ARTICLES {
        assert!(dialects.iter().any(|dialect| dialect.words.contains(&("the", article))), "{article}");
    }
    assert!(dialects.iter().any(|dialect| dialect.words.contains(&("was", "is"))));
    assert!(dialects.iter().any(|dialect| dialect.noun_first) && dialects.iter().any(|dialect| !dialect.noun_first));
}
