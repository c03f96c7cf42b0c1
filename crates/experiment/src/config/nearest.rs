//! The name that was probably meant.

/// The name of `known` that `written` most resembles, or `None` when it resembles none of them.
///
/// Case does not count and `-` equals `_`. The measure is the Damerau-Levenshtein distance: at most a third of the
/// letters, and at least one, may be wrong. Of equally near names the first is given.
pub fn nearest<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |name: &str| name.to_ascii_lowercase().replace('-', "_");
    let written = plain(written);
    let allowed = (written.chars().count() / 3).max(1);
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&written, &plain(name)), name))
        .filter(|&(distance, _)| distance <= allowed)
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn finds_what_was_meant_and_nothing_when_nothing_is_near() {
        let known = ["rank", "alpha", "learning_rates", "init-a", "init-b"];
        assert_eq!(nearest("rnak", known), Some("rank"));
        assert_eq!(nearest("Learning-Rate", known), Some("learning_rates"));
        assert_eq!(nearest("init_b", known), Some("init-b"));
        assert_eq!(nearest("init-c", known), Some("init-a"));
        assert_eq!(nearest("temperature", known), None);
        assert_eq!(nearest("", known), None);
    }
}
