//! Texts by the base and by a run, side by side.

use loralab_experiment::{Cell, learning_rate_text};

use crate::html::{escaped, unbroken};

/// A text generated after a prompt.
#[derive(Clone, Debug, Default)]
pub struct Written {
    /// The prompt.
    pub prompt: String,
    /// By the base alone.
    pub base: Option<String>,
    /// By a run's adapter, or why the run has none.
    pub run: Option<(Cell, Result<String, String>)>,
}

/// The texts, as far as they are there.
pub fn writing(written: &Written) -> String {
    let side = |who: &str, text: Option<Result<&String, &String>>| {
        let prompt = format!("<span class=\"prompt\">{}</span>", escaped(&written.prompt));
        let text = match text {
            None => format!("<p class=\"text\">{prompt}<i>…</i></p>"),
            Some(Ok(text)) => format!("<p class=\"text\">{prompt}{}</p>", escaped(text)),
            Some(Err(reason)) => format!("<p>{}</p>", escaped(reason)),
        };
        format!("<div><h3>{who}</h3>{text}</div>")
    };
    let run = written.run.as_ref();
    let who = run.map_or_else(
        || "The adapter".to_owned(),
        |(cell, _)| {
            unbroken(&format!("{} at {}, seed {}", cell.scheme, learning_rate_text(cell.learning_rate), cell.seed))
        },
    );
    side("The base alone", written.base.as_ref().map(Ok)) + &side(&who, run.map(|(_, text)| text.as_ref()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_stand_beside_each_other_and_are_only_texts() {
        let cell = Cell { scheme: "init-a".to_owned(), learning_rate: 2e-3, seed: 1 };
        let written = |text| Written { prompt: "<a>".to_owned(), base: None, run: Some((cell.clone(), text)) };
        let html = writing(&written(Ok("b & c".to_owned())));
        assert_eq!(html.matches("&lt;a&gt;").count(), 2);
        assert!(html.contains("b &amp; c") && html.contains("<i>…</i>") && html.contains("2e\u{2011}3, seed 1"));
        // A run without an adapter writes nothing, and another's text does not stand in for it.
        let html = writing(&written(Err("It diverged.".to_owned())));
        assert!(
            html.matches("&lt;a&gt;").count() == 1 && html.ends_with("seed 1</h3><p>It diverged.</p></div>"),
            "{html}"
        );
    }
}
