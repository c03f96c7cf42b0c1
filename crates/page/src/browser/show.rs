//! The results on the page: figures, tables, sentence, texts, progress.

use loralab_figure::{Figure, FigureError};
use loralab_page::building;
use loralab_page::panel::{
    adapter_options, adapters_table, cell_words, features_table, grid, inside_words, schemes, take_away, writing,
};
use wasm_bindgen::JsCast;
use web_sys::{Element, HtmlElement, HtmlProgressElement};

use super::{
    dom::{self, element, fill, hide, now, renew, write},
    draw::Part,
    page::Page,
};

/// The figures, by the elements that they are in.
const FIGURES: [&str; 4] = ["figure", "curves", "features", "spectra"];

/// The smallest scale of a figure, at which its letters have ten pixels.
const LEAST: f64 = 0.8;

/// The largest distance of a pointer from a value, in pixels.
const NEAR: f64 = 24.0;

impl Page {
    /// A cell of the table was pressed.
    pub(super) fn choose(&mut self, scheme: &str, rate: &str) {
        let Some(sweep) = &self.sweep else { return };
        let found = sweep.run_of(scheme, rate.parse().unwrap_or(f64::NAN)).cloned();
        // Pressed again, a cell is let go.
        self.chosen = found.filter(|found| self.chosen.as_ref() != Some(found));
        self.draw_all();
        self.write_texts();
    }

    /// Draws one part of what has come of the sweep.
    pub(super) fn draw(&mut self, part: Part) {
        let Some(sweep) = &self.sweep else { return };
        let rate = self.chosen.as_ref().map(|cell| cell.learning_rate);
        match part {
            Part::Sentence => {
                let there = sweep.record.has_news();
                write("sentence", &sweep.sentence().replace('-', "\u{2011}"));
                hide("results", !there);
                hide("empty", there);
            }
            Part::Headline => self.spots[0] = drawn(FIGURES[0], sweep.headline()),
            Part::Losses => {
                let (names, rates) = self.axes();
                let (runs, chosen) = (sweep.record.results(), self.chosen.as_ref());
                refill("losses", &grid(&sweep.summary(), runs, &names, &rates, chosen, &self.when()));
                renew("cell-note", &chosen.map(|cell| cell_words(runs, cell)).unwrap_or_default());
                self.show_take();
            }
            Part::Curves => {
                let of_rate = rate.and_then(|rate| sweep.curves(Some(rate)).ok());
                let note = match (rate, &of_rate) {
                    (Some(_), Some(_)) => {
                        "Every start at the rate of the chosen cell. Press the cell of another rate to see that."
                    }
                    (Some(_), None) => {
                        "At the rate of the chosen cell no loss was recorded; this is every start at its best rate."
                    }
                    (None, _) => "Every start at its best rate so far. Choose a cell of the table to see another.",
                };
                self.spots[1] = drawn(FIGURES[1], of_rate.map_or_else(|| sweep.curves(None), Ok));
                write("curves-note", note);
            }
            Part::Schemes => fill("schemes", &schemes(&sweep.summary())),
            Part::Words | Part::Features | Part::FeaturesTable | Part::Adapters => self.draw_inside(part),
            Part::Keep => self.keep(),
        }
    }

    /// The diagnostics of the runs that the curves show.
    fn draw_inside(&mut self, part: Part) {
        let Some(sweep) = &self.sweep else { return };
        let chosen = self.chosen.as_ref().map(|cell| cell.learning_rate);
        let rate = chosen.filter(|rate| !sweep.diagnosed(Some(*rate)).is_empty());
        let runs = sweep.diagnosed(rate);
        let module = self.adapter.as_deref();
        hide("inside", runs.is_empty());
        if runs.is_empty() {
            return;
        }
        match part {
            Part::Words => {
                fill("inside-words", &inside_words(&runs));
                let options = adapter_options(&runs, module);
                // A list that is open is not to be pulled away.
                if element::<Element>("adapter").child_element_count() as usize != options.matches("<option").count() {
                    fill("adapter", &options);
                }
            }
            Part::Features => self.spots[2] = drawn(FIGURES[2], sweep.features(rate, module)),
            Part::FeaturesTable => fill("features-table", &features_table(&runs, module)),
            _ => fill("adapters-table", &adapters_table(&runs)),
        }
    }

    fn when(&self) -> String {
        self.sweep.as_ref().map(|sweep| sweep.record.when()).unwrap_or_default()
    }

    /// Rows and columns of the grid: the experiment's, or, of results from elsewhere, those that were found.
    fn axes(&self) -> (Vec<String>, Vec<f64>) {
        let Some(sweep) = &self.sweep else { return (vec![], vec![]) };
        let known = self.known();
        let (mut names, mut rates) = match sweep.experiment.resolve(&known) {
            Ok(resolved) if sweep.known => (resolved.schemes, resolved.learning_rates),
            _ => (vec![], vec![]),
        };
        for run in sweep.record.results() {
            if !names.contains(&run.cell.scheme) {
                names.push(run.cell.scheme.clone());
            }
            if !rates.contains(&run.cell.learning_rate) {
                rates.push(run.cell.learning_rate);
            }
        }
        rates.sort_by(f64::total_cmp);
        // Results from elsewhere, alone, are all there is.
        let found = |name: &String| sweep.record.results().iter().any(|run| run.cell.scheme == *name);
        if sweep.record.complete.is_some() {
            names.retain(found);
            rates.retain(|rate| sweep.record.results().iter().any(|run| run.cell.learning_rate == *rate));
        }
        (names, rates)
    }

    pub(super) fn show_take(&self) {
        let there = self.sweep.as_ref().is_some_and(|sweep| sweep.record.has_news());
        let known = self.sweep.as_ref().is_none_or(|sweep| sweep.known);
        let adapter = match &self.sweep {
            Some(sweep) => sweep.shown_adapter(self.chosen.as_ref()).map(|files| &files.cell),
            None => Err(String::new()),
        };
        refill(
            "take",
            &take_away(there, known, adapter.as_ref().map_or_else(|why| Err(why.as_str()), |cell| Ok(*cell))),
        );
    }

    pub(super) fn show_texts(&self) {
        hide("writing", false);
        fill("texts", &writing(&self.written));
    }

    pub(super) fn show_progress(&self) {
        let under_way = self.is_training();
        element::<HtmlProgressElement>("progress").set_value(self.progress.share());
        hide("progress", !under_way);
        // The experiment that is trained, even if the form has been changed since.
        let experiment = self.sweep.as_ref().map_or(&self.experiment, |sweep| &sweep.experiment);
        let tokens = experiment.batch_size.unwrap_or(8)
            * experiment.gradient_accumulation.unwrap_or(1)
            * experiment.tokens.unwrap_or(64);
        let pace = if under_way { self.progress.pace(now(), tokens) } else { String::new() };
        write("pace", &pace);
    }

    /// Shows how far the GPU's kernels are compiled.
    pub(super) fn show_building(&self, done: usize, of: usize) {
        if done >= of {
            self.show_progress();
            return;
        }
        write("pace", &building(done, of));
        hide("progress", false);
        element::<HtmlProgressElement>("progress").set_value(done as f64 / of as f64);
    }

    /// Shows the value under a pointer.
    pub fn point(&self, x: f64, y: f64) {
        let near = FIGURES.iter().zip(&self.spots).find_map(|(id, spots)| {
            let svg = dom::find::<Element>(id)?.first_element_child()?;
            let (frame, width) = (svg.get_bounding_client_rect(), svg.get_attribute("width")?.parse::<f64>().ok()?);
            let scale = frame.width() / width;
            let far = |spot: &loralab_figure::Spot| {
                (frame.left() + spot.x * scale - x).hypot(frame.top() + spot.y * scale - y)
            };
            let nearest = spots.iter().min_by(|one, other| far(one).total_cmp(&far(other)))?;
            (far(nearest) < NEAR).then(|| nearest.text.clone())
        });
        let tip: HtmlElement = element("tip");
        tip.set_hidden(near.is_none());
        if let Some(text) = near {
            tip.set_text_content(Some(&text));
            let width = dom::window().inner_width().ok().and_then(|width| width.as_f64()).unwrap_or(1000.0);
            let style = tip.style();
            // A property that a browser does not know stays unset.
            let _ = style.set_property("left", &format!("{}px", (x + 14.0).min(width - 320.0).max(4.0)));
            let _ = style.set_property("top", &format!("{}px", y + 14.0));
        }
    }
}

/// Puts a figure into its element, and gives back its values; a figure that can't be drawn leaves nothing.
pub(super) fn drawn(id: &str, figure: Result<Figure, FigureError>) -> Vec<loralab_figure::Spot> {
    let (svg, spots) = figure.map(|figure| (figure.svg, figure.spots)).unwrap_or_default();
    fill(id, &svg);
    if let Some(svg) = element::<Element>(id).first_element_child() {
        let width = svg.get_attribute("width").and_then(|width| width.parse::<f64>().ok()).unwrap_or(0.0);
        // Rather scrolled than too small to be read. A property that a browser does not know stays unset.
        let _ = svg.unchecked_ref::<HtmlElement>().style().set_property("min-width", &format!("{}px", width * LEAST));
    }
    spots
}

/// Fills an element with buttons, of which the one that had the focus gets it again.
fn refill(id: &str, html: &str) {
    let held = dom::document().active_element().filter(|held| held.closest(&format!("#{id}")).ok().flatten().is_some());
    let key = |held: &Element, name: &str| held.get_attribute(name).map(|value| format!("[{name}=\"{value}\"]"));
    let again = held.map(|held| {
        ["data-do", "data-name", "data-rate"].iter().filter_map(|name| key(&held, name)).collect::<String>()
    });
    fill(id, html);
    if let Some(button) = again.and_then(|again| dom::all(&format!("#{id} {again}")).into_iter().next()) {
        dom::focus(&button);
    }
}
