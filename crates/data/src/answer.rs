//! Answers that a model wrote, beside those that are wanted.
//!
//! Data such as GSM8K's reason first and end in `#### 42`: only the number behind the mark is compared, as lm-evaluation-harness does
//! (`lm_eval/tasks/gsm8k/gsm8k.yaml`, filter `strict-match`; its `regexes_to_ignore` remove commas, dollar signs and a dot at the end). Other answers are
//! compared as they are, without white space at their ends.

use std::ops::Range;

/// Stands before the final answer.
const MARK: &str = "#### ";

/// True if what was written answers as wanted.
pub fn is_right(written: &str, wanted: &str) -> bool {
    match wanted.rsplit_once(MARK) {
        Some((_, number)) => number_in(written).is_some_and(|place| plain(&written[place]) == plain(number)),
        None => written.trim() == wanted.trim(),
    }
}

/// True if a text that answers as `wanted` does has come to its end: something follows the number behind its mark, or the next question begins. Of answers
/// without a mark only the token that ends a text says so, or a newline where there is no such token.
pub fn is_over(written: &str, wanted: &str) -> bool {
    let follows = |number: Range<usize>| number.end < written.len();
    has_mark(wanted) && (written.contains("Question:") || number_in(written).is_some_and(follows))
}

/// True if the number behind a mark is the answer.
pub fn has_mark(wanted: &str) -> bool {
    wanted.contains(MARK)
}

/// The place of the number behind the first mark that has one: a minus sign, then digits, dots and commas.
fn number_in(text: &str) -> Option<Range<usize>> {
    text.match_indices(MARK).find_map(|(at, _)| {
        let start = at + MARK.len();
        let digits = start + usize::from(text[start..].starts_with('-'));
        let length = text[digits..].find(|c: char| !(c.is_ascii_digit() || ".,".contains(c)));
        let end = length.map_or(text.len(), |length| digits + length);
        (end > digits).then_some(start..end)
    })
}

/// A number without commas, dollar signs and a dot at its end.
fn plain(number: &str) -> String {
    let number: String = number.trim().chars().filter(|c| !",$".contains(*c)).collect();
    number.strip_suffix('.').map(str::to_owned).unwrap_or(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_number_behind_the_mark_is_compared() {
        let wanted = " She has 1,200 + 34 = <<1200+34=1234>>1,234 eggs.\n#### 1,234";
        for (written, right) in [
            (" It is clear.\n#### 1234", true),
            ("#### 1,234.", true),
            ("#### 1,234.\n\nQuestion: #### 5", true),
            ("#### 1235\n#### 1234", false),
            ("#### so much\n#### 1234", true),
            ("####1234", false),
            ("1234", false),
            ("#### 12345", false),
            ("", false),
        ] {
            assert_eq!(is_right(written, wanted), right, "{written}");
        }
        assert!(is_right("#### -3", "#### -3") && !is_right("#### 3", "#### -3"));
        assert!(is_right("#### 10", " #### 5 of them, then\n#### $10"));
    }

    #[test]
    fn other_answers_are_compared_whole() {
        assert!(is_right(" positive\n", " positive"));
        assert!(!is_right(" positive.", " positive") && !is_right(" Positive", " positive"));
    }

    #[test]
    fn an_answer_ends_behind_its_number() {
        let wanted = "#### 7";
        for (written, over) in
            [("#### 7", false), ("#### 7\n", true), ("#### 7 ", true), ("#### ", false), ("so\nQuestion: a", true)]
        {
            assert_eq!(is_over(written, wanted), over, "{written:?}");
        }
        assert!(!is_over("positive\nQuestion: a", "positive"));
    }
}
