//! Texts by the base and by a run, side by side.

use loralab_experiment::{Cell, learning_rate_text};

use crate::html::{escaped, unbroken};

/// What was written after a prompt.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// The prompt.
    pub prompt: String,
    /// By the base alone.
    pub base: Option<String>,
    /// By a run's adapter.
    pub run: Option<(Cell, String)>,
}

/// The texts, as far as they are there.
pub fn writing(written: &Written) -> String {
    let side = |who: &str, text: Option<&String>| {
        let text = text.map_or_else(|| "<i>…</i>".to_owned(), |text| escaped(text));
        format!(
            "<div><h3>{who}</h3><p class=\"text\"><span class=\"prompt\">{}</span>{text}</p></div>",
            escaped(&written.prompt)
        )
    };
    let run = written.run.as_ref();
    let who = run.map_or_else(
        || "The adapter".to_owned(),
        |(cell, _)| {
            unbroken(&format!("{} at {}, seed {}", cell.scheme, learning_rate_text(cell.learning_rate), cell.seed))
        },
    );
    side("The base alone", written.base.as_ref()) + &side(&who, run.map(|(_, text)| text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_beside_each_other_and_are_only_texts() {
        let cell = Cell { scheme: "init-a".to_owned(), learning_rate: 2e-3, seed: 1 };
        let html = writing(&Written { prompt: "<a>".to_owned(), base: None, run: Some((cell, "b & c".to_owned())) });
        assert_eq!(html.matches("&lt;a&gt;").count(), 2);
        assert!(html.contains("b &amp; c") && html.contains("<i>…</i>") && html.contains("2e\u{2011}3, seed 1"));
    }
}
