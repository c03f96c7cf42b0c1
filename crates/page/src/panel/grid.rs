//! A sweep in tables: every scheme at every learning rate, and each scheme at its best.

use loralab_experiment::{Cell, RateSummary, SchemeSummary, Summary, learning_rate_text, loss_text};
use loralab_figure::colour_of;

use crate::html::unbroken;

/// The loss of every scheme (a row) at every learning rate (a column) of the experiment; cells fill in as they are known, say where a run
/// diverged and which rate is best, and are buttons that choose the run.
pub fn grid(summary: &Summary, schemes: &[String], rates: &[f64], chosen: Option<&Cell>, when: &str) -> String {
    let heads: String =
        rates.iter().map(|&rate| format!("<th scope=\"col\">{}</th>", unbroken(&learning_rate_text(rate)))).collect();
    let row = |scheme: &String| {
        let place = summary.schemes.iter().position(|row| row.scheme == *scheme);
        let found = place.map(|place| &summary.schemes[place]);
        let cells: String = rates.iter().map(|&rate| cell(scheme, found, rate, chosen)).collect();
        format!("<tr><th scope=\"row\">{}{}</th>{cells}</tr>", swatch(place), unbroken(scheme))
    };
    let rows: String = schemes.iter().map(row).collect();
    format!(
        "<caption>Validation loss, nats per token. {when}. Choose a cell to see its run.</caption>\
         <thead><tr><th scope=\"col\">start</th>{heads}</tr></thead><tbody>{rows}</tbody>"
    )
}

fn cell(scheme: &str, found: Option<&SchemeSummary>, rate: f64, chosen: Option<&Cell>) -> String {
    let row = found.and_then(|found| found.learning_rates.iter().find(|row| row.learning_rate == rate));
    let Some(row) = row else {
        return "<td class=\"none\"><span aria-label=\"not known yet\">·</span></td>".to_owned();
    };
    let best = found.is_some_and(|found| found.best_learning_rate == Some(rate));
    let pressed = chosen.is_some_and(|cell| cell.scheme == scheme && cell.learning_rate == rate);
    let kind = match row {
        RateSummary { diverged: 1.., .. } => "diverged",
        _ if best => "best",
        RateSummary { stable: true, .. } => "stable",
        _ => "high",
    };
    format!(
        "<td class=\"{kind}\"><button type=\"button\" data-do=\"choose\" data-name=\"{}\" data-rate=\"{rate:e}\" aria-pressed=\"{pressed}\">{}</button></td>",
        crate::html::escaped(scheme),
        text(row, best)
    )
}

fn text(row: &RateSummary, best: bool) -> String {
    match row.diverged {
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
    let scheme = |(place, scheme): (usize, &SchemeSummary)| {
        let cells = [
            known(scheme.best_learning_rate, learning_rate_text),
            known(scheme.best_loss, loss_text),
            known(scheme.best_loss_spread, loss_text),
            known(scheme.best_accuracy, percent),
            known(scheme.largest_stable_learning_rate, learning_rate_text),
            format!("{} of {}", scheme.diverged(), scheme.runs),
        ];
        row(swatch(Some(place)), &scheme.scheme, cells)
    };
    let none = || known(None, loss_text);
    let base =
        [none(), known(setting.base_loss, loss_text), none(), known(setting.base_accuracy, percent), none(), none()];
    let rows: String = summary.schemes.iter().enumerate().map(scheme).collect();
    let base = row(swatch(None), "the base alone", base);
    format!(
        "<caption>Each start at its best rate. The spread is from the best seed to the worst, where a sentence says ± it is half a 95 % interval; <i>stable to</i> is the \
         largest rate whose loss is at most twice the best; above, cells beyond that are orange.</caption><thead><tr>{heads}</tr></thead><tbody>{rows}{base}</tbody>"
    )
}

/// The colour of a scheme in the figures, by its place there. As an attribute of SVG, since the page's policy allows no styles in HTML.
pub(super) fn swatch(place: Option<usize>) -> String {
    let colour = place.map_or_else(|| "none".to_owned(), colour_of);
    format!(
        "<svg class=\"swatch\" viewBox=\"0 0 8 8\" aria-hidden=\"true\"><circle cx=\"4\" cy=\"4\" r=\"4\" fill=\"{colour}\"/></svg>"
    )
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
        let html = grid(&sweep(None).record.summary(), &schemes, &[1e-3, 2e-3], Some(&chosen), "After 2 of 4 steps");
        assert_eq!(
            texts(html.split_once("</caption>").expect("it says what it shows").1),
            [
                ["start", "1e-3", "2e-3"],
                ["init-a", "0.500", "0.250 best"],
                ["init-b", "0.125 best", "diverged"],
                ["init-ab", "·", "·"]
            ]
        );
        assert_eq!(html.matches("aria-pressed=\"true\"").count(), 1);
        assert!(html.contains("<td class=\"diverged\">") && html.contains("After 2 of 4 steps."));
    }

    #[test]
    fn the_schemes_by_hand() {
        let rows = texts(&schemes(&sweep(Some(true)).record.summary()));
        assert_eq!(rows[1], ["init-a", "2e-3", "0.250", "–", "75 %", "2e-3", "0 of 2"]);
        assert_eq!(rows[2], ["init-b", "1e-3", "0.125", "–", "88 %", "1e-3", "1 of 2"]);
        assert_eq!(rows[3], ["the base alone", "–", "2.25", "–", "0 %", "–", "–"]);
    }
}
