//! Figures of the growth of a layer's quantities with its width.

use loralab_experiment::{ExponentCell, Exponents, OptimizerName, RateLawOf};

use crate::FigureError;
use crate::panels::{Line, Panel, PanelPoint, Panels, panels};

/// The quantities against width, a panel for each start and rate. Dashed lines have the theory's slope and pass through the largest width.
///
/// # Errors
/// [`FigureError::Nothing`] when nothing was measured with this optimiser.
pub fn exponents(found: &Exponents, optimizer: OptimizerName) -> Result<String, FigureError> {
    let cells: Vec<&ExponentCell> = found.cells.iter().filter(|cell| cell.optimizer == optimizer).collect();
    let mut all = Vec::new();
    for of_panel in cells.chunk_by(|a, b| a.scheme == b.scheme && a.rate_exponent == b.rate_exponent) {
        let lines = of_panel.iter().enumerate().flat_map(|(style, cell)| {
            let at = |(&width, &size): (&usize, &f64)| PanelPoint::new(width as f64, size);
            let points: Vec<_> = found.widths.iter().zip(&cell.magnitudes).map(at).collect();
            let line = Line { name: cell.quantity.clone(), style, dashed: false, points };
            [guide(&line, cell.theory), line]
        });
        let constant = if found.constant == 1.0 { String::new() } else { format!("{} ", found.constant) };
        all.push(Panel {
            title: format!("{}, η = {constant}n^{}", of_panel[0].scheme, of_panel[0].rate_exponent),
            x_title: "width n".to_owned(),
            y_title: "root mean square".to_owned(),
            logarithmic: true,
            x_ticks: powers(&found.widths),
            lines: lines.collect(),
        });
    }
    panels(&Panels {
        title: format!("One layer after {} steps of {}", found.steps, in_words(optimizer)),
        note: format!("rank {}; root mean squares over entries and {} seeds", found.rank, found.seeds),
        description: found.sentence(),
        panels: all,
        columns: 2,
        dashes: Some("the theory's slope".to_owned()),
    })
}

/// The largest stable learning rate against width and against rank, with the theory's slopes.
///
/// # Errors
/// [`FigureError::Nothing`] when none was measured.
pub fn stable_rates(found: &Exponents) -> Result<String, FigureError> {
    let panel = |of: RateLawOf| {
        let laws = found.rate_laws.iter().filter(|law| law.of == of).enumerate();
        let lines = laws.flat_map(|(style, law)| {
            let at = |(&size, &rate): (&usize, &f64)| PanelPoint::new(size as f64, rate);
            let points: Vec<_> = law.sizes.iter().zip(&law.rates).map(at).collect();
            let line = Line { name: law.configuration.clone(), style, dashed: false, points };
            [guide(&line, law.theory), line]
        });
        let sizes = found.rate_laws.iter().find(|law| law.of == of).map_or(&[][..], |law| &law.sizes);
        let (title, x_title) = match of {
            RateLawOf::Width => (format!("rank {}", found.rank), "width n"),
            RateLawOf::Rank => (format!("width {}", found.rank_width), "rank r"),
        };
        Panel {
            title,
            x_title: x_title.to_owned(),
            y_title: "largest stable learning rate".to_owned(),
            logarithmic: true,
            x_ticks: if of == RateLawOf::Width { powers(sizes) } else { plain(sizes) },
            lines: lines.collect(),
        }
    };
    panels(&Panels {
        title: "The largest stable learning rate of one layer".to_owned(),
        note: format!(
            "sign steps; Z_B has a root mean square of 1 after {} of them; {} seeds",
            found.steps, found.seeds
        ),
        description: found.sentence(),
        // A measurement that was stopped early may lack one of them.
        panels: [panel(RateLawOf::Width), panel(RateLawOf::Rank)]
            .into_iter()
            .filter(|of| !of.lines.is_empty())
            .collect(),
        columns: 2,
        dashes: Some("the theory's slope".to_owned()),
    })
}

/// A dashed line with this slope, in logarithms, through the last point of a line.
pub(crate) fn guide(line: &Line, slope: f64) -> Line {
    let points = match (line.points.first(), line.points.last()) {
        (Some(first), Some(last)) => {
            let at = |x: f64| PanelPoint::new(x, last.y * (x / last.x).powf(slope));
            vec![at(first.x), at(last.x)]
        }
        _ => vec![],
    };
    Line { dashed: true, points, ..line.clone() }
}

/// A label for each size: `2^7` if all are powers of two, plain numbers otherwise.
pub(crate) fn powers(sizes: &[usize]) -> Vec<(f64, String)> {
    if sizes.iter().any(|size| !size.is_power_of_two()) {
        return plain(sizes);
    }
    let label = |&size: &usize| (size as f64, format!("2^{}", size.ilog2()));
    sizes.iter().map(label).collect()
}

fn plain(sizes: &[usize]) -> Vec<(f64, String)> {
    sizes.iter().map(|&size| (size as f64, size.to_string())).collect()
}

fn in_words(optimizer: OptimizerName) -> &'static str {
    match optimizer {
        OptimizerName::AdamW => "Adam",
        OptimizerName::Sgd => "gradient descent",
        OptimizerName::SignSgd => "sign descent",
    }
}
