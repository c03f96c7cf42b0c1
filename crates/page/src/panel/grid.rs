//! A sweep in tables: every scheme at every learning rate, and each scheme at its best.

use loralab_experiment::{
    Cell, RateSummary, RunResult, SchemeSummary, Stopped, Summary, learning_rate_text, loss_text,
};
use loralab_figure::mark_of;

use crate::html::{escaped, unbroken};

/// Most runs of a cell that are told one by one.
const TOLD: usize = 6;

/// The loss of every scheme (a row) at every learning rate (a column) of the experiment; cells fill in as they are known, say where a run
/// diverged and which rate is best, and are buttons that choose the run. `runs` are those that the summary is of.
pub fn grid(
    summary: &Summary,
    runs: &[RunResult],
    schemes: &[String],
    rates: &[f64],
    chosen: Option<&Cell>,
    when: &str,
) -> String {
    let heads: String =
        rates.iter().map(|&rate| format!("<th scope=\"col\">{}</th>", unbroken(&learning_rate_text(rate)))).collect();
    let row = |scheme: &String| {
        let found = summary.schemes.iter().find(|row| row.scheme == *scheme);
        let cells: String = rates.iter().map(|&rate| cell(scheme, found, runs, rate, chosen)).collect();
        format!("<tr><th scope=\"row\">{}{}</th>{cells}</tr>", swatch(Some(scheme)), unbroken(scheme))
    };
    let rows: String = schemes.iter().map(row).collect();
    format!(
        "<caption>Validation loss, {}. {when}. Choose a cell to see its run.</caption>\
         <thead><tr><th scope=\"col\">start</th>{heads}</tr></thead><tbody>{rows}</tbody>",
        summary.loss_unit()
    )
}

fn cell(scheme: &str, found: Option<&SchemeSummary>, runs: &[RunResult], rate: f64, chosen: Option<&Cell>) -> String {
    let row = found.and_then(|found| found.learning_rates.iter().find(|row| row.learning_rate == rate));
    let Some(row) = row else {
        return "<td class=\"none\"><span aria-label=\"not known yet\">·</span></td>".to_owned();
    };
    let best = found.is_some_and(|found| found.best_learning_rate == Some(rate));
    let pressed = chosen.is_some_and(|cell| cell.scheme == scheme && cell.learning_rate == rate);
    let kind = match row {
        RateSummary { diverged: 1.., .. } => "diverged",
        _ if best => "best",
        // A rate below the best may lose as much; it is too small.
        _ if found.and_then(|found| found.largest_stable_learning_rate).is_some_and(|edge| rate > edge) => "high",
        _ => "stable",
    };
    // The divergences, as a title for a pointer, and as text for a screen reader.
    let fates = match row.diverged + row.stopped {
        0 => None,
        _ => Some(escaped(&fates(runs, scheme, rate))),
    };
    let title = fates.as_ref().map_or_else(String::new, |fates| format!(" title=\"{fates}\""));
    let unseen = fates.map_or_else(String::new, |fates| format!("<span class=\"unseen\">: {fates}</span>"));
    format!(
        "<td class=\"{kind}\"{title}><button type=\"button\" data-do=\"choose\" data-name=\"{}\" data-rate=\"{rate:e}\" aria-pressed=\"{pressed}\">{}{unseen}</button></td>",
        escaped(scheme),
        text(row, best)
    )
}

/// The outcome of every run of a cell, by rising seed.
fn fates(runs: &[RunResult], scheme: &str, rate: f64) -> String {
    let of_cell = |run: &&RunResult| run.cell.scheme == scheme && run.cell.learning_rate == rate;
    let mut runs: Vec<&RunResult> = runs.iter().filter(of_cell).collect();
    runs.sort_by_key(|run| run.cell.seed);
    let fate = |run: &&RunResult| format!("seed {} {}", run.cell.seed, fate(run));
    let mut fates: Vec<String> = runs.iter().take(TOLD).map(fate).collect();
    if let more @ 1.. = runs.len().saturating_sub(TOLD) {
        fates.push(format!("and {more} more"));
    }
    fates.join("; ")
}

/// The outcome of a run, as the predicate of a sentence.
pub(crate) fn fate(run: &RunResult) -> String {
    match (&run.diverged, &run.failed, run.final_loss) {
        (Some(diverged), ..) => {
            format!(
                "diverged in step {}: the first value that was not finite was in {}",
                diverged.step, diverged.tensor
            )
        }
        (_, Some(reason), _) => format!("could not start: {reason}"),
        (.., None) if run.stopped.is_some() => run.stopped.iter().map(Stopped::in_words).collect(),
        (.., Some(loss)) => format!("has a loss of {}", loss_text(loss)),
        _ => "has not been evaluated yet".to_owned(),
    }
}

/// The runs of the cell that a run is of, in words.
pub fn cell_words(runs: &[RunResult], cell: &Cell) -> String {
    let Cell { scheme, learning_rate, .. } = cell;
    let text = format!("{scheme} at {}: {}.", learning_rate_text(*learning_rate), fates(runs, scheme, *learning_rate));
    text.replace('-', "\u{2011}")
}

fn text(row: &RateSummary, best: bool) -> String {
    match row.diverged {
        0 if row.stopped > 0 => "<span class=\"word\">stopped</span>".to_owned(),
        0 if best => format!("<b>{}</b> <span class=\"word\">best</span>", known(row.mean_loss, loss_text)),
        0 => known(row.mean_loss, loss_text),
        _ if row.losses.len() == 1 => "<span class=\"word\">diverged</span>".to_owned(),
        diverged => format!("<span class=\"word\">{diverged} of {} diverged</span>", row.losses.len()),
    }
}

/// Each scheme at its best learning rate, and the base.
pub fn schemes(summary: &Summary) -> String {
    let setting = &summary.setting;
    let heads = ["start", "best rate", "loss", "spread", setting.accuracy.words(), "stable to", "diverged"];
    let heads: String = heads.iter().map(|head| format!("<th scope=\"col\">{head}</th>")).collect();
    let row = |swatch: String, name: &str, cells: [String; 6]| {
        let cells: String = cells.iter().map(|cell| format!("<td>{}</td>", unbroken(cell))).collect();
        format!("<tr><th scope=\"row\">{swatch}{}</th>{cells}</tr>", unbroken(name))
    };
    let scheme = |scheme: &SchemeSummary| {
        let cells = [
            known(scheme.best_learning_rate, learning_rate_text),
            known(scheme.best_loss, loss_text),
            known(scheme.best_loss_spread, loss_text),
            known(scheme.best_accuracy, percent),
            known(scheme.largest_stable_learning_rate, learning_rate_text),
            format!("{} of {}", scheme.diverged(), scheme.runs),
        ];
        row(swatch(Some(&scheme.scheme)), &scheme.scheme, cells)
    };
    let none = || known(None, loss_text);
    let base =
        [none(), known(setting.base_loss, loss_text), none(), known(setting.base_accuracy, percent), none(), none()];
    let rows: String = summary.schemes.iter().map(scheme).collect();
    let base = row(swatch(None), "the base alone", base);
    format!(
        "<caption>Each start at its best rate. The spread is from the best seed to the worst, where a sentence says ± it is half a 95 % interval; <i>stable to</i> is the \
         largest rate whose loss is at most twice the best; above, cells at rates beyond that are orange.</caption><thead><tr>{heads}</tr></thead><tbody>{rows}{base}</tbody>"
    )
}

/// The mark of a scheme in the figures, or an empty place for none. As SVG, since the page's policy allows no styles in HTML.
pub(super) fn swatch(scheme: Option<&str>) -> String {
    let mark = scheme.map_or_else(String::new, mark_of);
    format!("<svg class=\"swatch\" viewBox=\"-1.3 -1.3 2.6 2.6\" aria-hidden=\"true\">{mark}</svg>")
}

fn known(value: Option<f64>, text: impl Fn(f64) -> String) -> String {
    value.map_or_else(|| "–".to_owned(), text)
}

fn percent(share: f64) -> String {
    format!("{:.0} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::tests::{cell, sweep};

    /// The texts of the cells, without their tags.
    fn texts(html: &str) -> Vec<Vec<String>> {
        let plain = |cell: &str| {
            let text: String =
                cell.split('<').map(|piece| piece.split_once('>').map_or("", |(_, text)| text)).collect();
            text.replace('\u{2011}', "-")
        };
        let cells = |row: &str| {
            row.split("</t").filter(|cell| cell.contains("<td") || cell.contains("<th ")).map(plain).collect()
        };
        html.split("</tr>").map(cells).filter(|row: &Vec<String>| !row.is_empty()).collect()
    }

    #[test]
    fn the_grid_by_hand() {
        let schemes = ["init-a", "init-b", "init-ab"].map(str::to_owned);
        let chosen = cell("init-a", 1e-3, 0);
        let sweep = sweep(None);
        let (summary, runs) = (sweep.record.summary(), sweep.record.results());
        let html = grid(&summary, runs, &schemes, &[1e-3, 2e-3], Some(&chosen), "After 2 of 4 steps");
        let fate = "seed 0 diverged in step 2: the first value that was not finite was in logits";
        assert_eq!(
            texts(html.split_once("</caption>").expect("it says what it shows").1),
            [
                ["start", "1e-3", "2e-3"],
                ["init-a", "0.500", "0.250 best"],
                ["init-b", "0.125 best", &format!("diverged: {fate}")],
                ["init-ab", "·", "·"]
            ]
        );
        assert_eq!(html.matches("aria-pressed=\"true\"").count(), 1);
        assert!(
            html.contains(&format!("<td class=\"diverged\" title=\"{fate}\">")) && html.contains("After 2 of 4 steps.")
        );
        assert_eq!(
            cell_words(runs, &cell("init-b", 2e-3, 0)).replace('\u{2011}', "-"),
            format!("init-b at 2e-3: {fate}.")
        );
        assert_eq!(cell_words(runs, &chosen).replace('\u{2011}', "-"), "init-a at 1e-3: seed 0 has a loss of 0.500.");
    }

    #[test]
    fn only_rates_above_the_best_are_beyond_what_is_stable() {
        let mut sweep = crate::Sweep::new(loralab_experiment::Experiment::default(), None);
        for (rate, loss) in [(1e-4, 2.5), (1e-3, 0.5), (2e-3, 0.25), (4e-3, 0.375), (8e-3, 2.0)] {
            let cell = cell("init-a", rate, 0);
            let text = loralab_experiment::TextMeasures::default();
            sweep.apply(&loralab_experiment::Event::Evaluation {
                cell,
                step: 2,
                loss: Some(loss),
                accuracy: None,
                text,
            });
        }
        let (summary, runs) = (sweep.record.summary(), sweep.record.results());
        let rates = [1e-4, 1e-3, 2e-3, 4e-3, 8e-3];
        let html = grid(&summary, runs, &["init-a".to_owned()], &rates, None, "");
        let kinds: Vec<_> = html.split("<td class=\"").skip(1).filter_map(|cell| cell.split('"').next()).collect();
        assert_eq!(kinds, ["stable", "stable", "best", "stable", "high"]);
    }

    #[test]
    fn a_cell_of_many_seeds_is_told_in_short() {
        let run = |seed| RunResult { cell: cell("a", 1e-3, seed), ..sweep(None).record.results()[0].clone() };
        let runs: Vec<_> = (0..8).map(run).collect();
        assert!(cell_words(&runs, &runs[0].cell).ends_with("seed 5 has a loss of 0.500; and 2 more."));
    }

    #[test]
    fn the_schemes_by_hand() {
        let rows = texts(&schemes(&sweep(Some(true)).record.summary()));
        assert_eq!(rows[1], ["init-a", "2e-3", "0.250", "–", "75 %", "2e-3", "0 of 2"]);
        assert_eq!(rows[2], ["init-b", "1e-3", "0.125", "–", "88 %", "1e-3", "1 of 2"]);
        assert_eq!(rows[3], ["the base alone", "–", "2.25", "–", "0 %", "–", "–"]);
    }
}
