//! When what is drawn. Training tells of something many times a second; each panel is drawn anew a few times a second at most, only where it has changed,
//! rarely where nobody looks, and each in a task of its own, so that the page's thread is free again before a person notices.

use super::{
    dom::{self, now, say},
    page::Page,
    with_page,
};

/// Least seconds between two drawings of a panel that is in view, and of one that is not.
const IN_VIEW: f64 = 0.25;
const OUT_OF_VIEW: f64 = 3.0;

/// A part of the page that is drawn separately.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    Sentence,
    Headline,
    Losses,
    Curves,
    Schemes,
    Words,
    Features,
    FeaturesTable,
    Adapters,
    Keep,
}

impl Part {
    pub const ALL: [Part; 10] = [
        Part::Sentence,
        Part::Headline,
        Part::Losses,
        Part::Curves,
        Part::Schemes,
        Part::Words,
        Part::Features,
        Part::FeaturesTable,
        Part::Adapters,
        Part::Keep,
    ];

    /// The diagnostics of the adapters.
    pub const INSIDE: [Part; 4] = [Part::Words, Part::Features, Part::FeaturesTable, Part::Adapters];

    /// The element that shows it.
    fn place(self) -> Option<&'static str> {
        Some(match self {
            Part::Sentence => "sentence",
            Part::Headline => "figure",
            Part::Losses => "losses",
            Part::Curves => "curves",
            Part::Schemes => "schemes",
            Part::Words => "inside-words",
            Part::Features => "features",
            Part::FeaturesTable => "features-table",
            Part::Adapters => "adapters-table",
            Part::Keep => return None,
        })
    }

    /// Seconds between two times.
    fn every(self) -> f64 {
        match self.place() {
            Some(id) if dom::is_in_view(id) => IN_VIEW,
            _ => OUT_OF_VIEW,
        }
    }
}

/// The parts that are out of date.
#[derive(Default)]
pub(super) struct Stale {
    parts: Vec<Part>,
    /// When each was last drawn, in the order of [`Part::ALL`].
    drawn: [f64; Part::ALL.len()],
    /// True if a timer runs.
    waits: bool,
    /// A message to show once everything is drawn.
    then: Option<String>,
}

impl Page {
    /// These have changed.
    pub(super) fn changed_parts(&mut self, parts: &[Part]) {
        for part in parts {
            if !self.stale.parts.contains(part) {
                self.stale.parts.push(*part);
            }
        }
        self.draw_soon();
    }

    /// The sweep is over, or another is there: everything is drawn at once, though one after the other, and then this is said.
    pub(super) fn draw_then_say(&mut self, text: String) {
        self.stale.then = Some(text);
        // The timer that runs may be a slow one; another that comes first does no harm.
        self.stale.waits = false;
        self.changed_parts(&Part::ALL);
    }

    /// Draws everything now, as a person who has pressed something expects it.
    pub(super) fn draw_all(&mut self) {
        for part in Part::ALL {
            self.draw(part);
        }
        self.stale.parts.clear();
    }

    /// Has the next be drawn when it is due.
    pub(super) fn draw_soon(&mut self) {
        if self.stale.waits {
            return;
        }
        let wait = |part: &Part| self.stale.drawn[*part as usize] + part.every() - now();
        let Some(least) = self.stale.parts.iter().map(wait).min_by(f64::total_cmp) else { return };
        let least = if self.stale.then.is_some() { 0.0 } else { least.max(0.0) };
        self.stale.waits = true;
        dom::after((least * 1000.0) as i32, || with_page(Page::draw_next));
    }

    fn draw_next(&mut self) {
        self.stale.waits = false;
        let due =
            |part: &Part| self.stale.then.is_some() || self.stale.drawn[*part as usize] + part.every() <= now() + 1e-3;
        // In the order of the page, not of the news.
        let next = Part::ALL.into_iter().find(|part| self.stale.parts.contains(part) && due(part));
        if let Some(part) = next {
            self.stale.parts.retain(|other| *other != part);
            self.draw(part);
            self.stale.drawn[part as usize] = now();
        }
        if self.stale.parts.is_empty()
            && let Some(text) = self.stale.then.take()
        {
            say(&text);
        }
        self.draw_soon();
    }
}
