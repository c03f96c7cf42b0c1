//! The report of `reproduce curvature`.

use loralab_experiment::{CurvatureFound, Curve, OptimizerName, loss_text, rounded_rate_text};
use loralab_figure::{FigureError, implied_rates};

use crate::{Cell, Figure, Report, Section, Table, of_sweep};

/// The report on the curvature at the starts and on the sweep; `curves` are those of each scheme's best rate.
///
/// # Errors
/// If no run has ended, or a figure cannot be drawn.
pub fn of_curvature(found: &CurvatureFound, curves: &[Curve]) -> Result<Report, FigureError> {
    let mut report = of_sweep(&found.summary, &found.experiment, curves)?;
    report.title = "The learning rate that the curvature at a start implies".to_owned();
    report.found = found.sentence();
    report.sections.insert(
        0,
        Section {
            heading: "Curvature at the start".to_owned(),
            text: vec![
                format!(
                    "The Hessian is that of the mean loss of the first {} training batches of each seed, with respect to the adapter at its start. Products \
                     with it are exact derivatives of the gradient, in 64 bits on the CPU; its largest eigenvalue λ and its smallest are Lanczos', and what they \
                     may be off by counts what the iteration leaves open and the rounding that the products were seen to have. Gradient descent on a quadratic is thrown out above \
                     2/λ (Cohen et al. 2021, arXiv 2103.00065).",
                    found.batches
                ),
                "Adam's first step is η times the signs of the gradient g; on the quadratic model it lowers the loss most at η = ‖g‖₁ / sᵀHs with s the \
                 signs. Both speak of the start: training moves to where the curvature is another, and takes many steps of noisy gradients."
                    .to_owned(),
            ],
            figures: vec![Figure {
                name: "implied_rates".to_owned(),
                svg: implied_rates(found)?,
                caption: match found.optimizer {
                    OptimizerName::Sgd => "Dashed: 2/λ at each start, geometric mean over seeds.".to_owned(),
                    _ => "Dashed: the best first step along the signs of the gradient, geometric mean over seeds.".to_owned(),
                },
            }],
            tables: vec![starts(found)],
        },
    );
    Ok(report)
}

fn starts(found: &CurvatureFound) -> Table {
    let number = |x: f64| format!("{x:.3e}");
    let rows = found.starts.iter().map(|start| {
        vec![
            Cell::text(&start.scheme),
            Cell::whole(start.seed as usize),
            Cell::number(Some(start.loss), loss_text),
            Cell::number(Some(start.gradient_norm), number),
            Cell::number(Some(start.sharpness), number),
            Cell::number(Some(start.residual), |x| format!("{x:.0e}")),
            Cell::number(Some(start.smallest), number),
            Cell::number(start.smallest_residual, |x| format!("{x:.0e}")),
            Cell::number(start.descent_rate, rounded_rate_text),
            Cell::number(start.sign_rate, rounded_rate_text),
            Cell::whole(start.products),
        ]
    });
    let head = [
        "scheme",
        "seed",
        "loss",
        "‖gradient‖",
        "λ, largest",
        "λ, off by at most",
        "smallest",
        "smallest, off by at most",
        "2/λ",
        "best first sign step",
        "products",
    ];
    Table {
        name: "curvature".to_owned(),
        caption: "The Hessian's ends at each start, and the rates they imply.".to_owned(),
        head: head.map(str::to_owned).into(),
        rows: rows.collect(),
    }
}
