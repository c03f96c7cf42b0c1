//! The report of `reproduce exponents`.

use loralab_experiment::{Exponents, OptimizerName, RateLawOf};
use loralab_figure::{FigureError, exponents, stable_rates};

use crate::{Cell, Figure, Report, Section, Table, drawn, exponent, seconds};

/// What was found of one layer.
///
/// # Errors
/// If a figure cannot be drawn.
pub fn of_exponents(found: &Exponents) -> Result<Report, FigureError> {
    let mut sections = vec![Section {
        heading: "What was measured".to_owned(),
        text: vec![
            "One layer Z = a B A x with A (r, n) and B (n, r), one example x and a constant gradient d of the output, both with standard normal entries. \
             Z_A = A x and Z_B = a B Z_A. Each step changes Z_B by δ1 + δ2 + δ3 exactly: δ1 = a B ΔZ_A is what training A alone would do, δ2 = a ΔB Z_A \
             what training B alone would do, δ3 = a ΔB ΔZ_A the rest."
                .to_owned(),
            "An exponent is the slope, in logarithms, of the root mean square over entries and seeds; its 95 % interval is Student's with the standard \
             error of a bootstrap over seeds. Theory: Hayou, Ghosh, Yu 2024 (arXiv 2406.08447); with both factors random, Li et al. 2025 (arXiv \
             2505.23194); largest stable rates, Chen, Villar, Hayou (arXiv 2602.06204)."
                .to_owned(),
        ],
        ..Section::default()
    }];
    let of_optimizers =
        [(OptimizerName::SignSgd, "exponents_sign", "Sign steps"), (OptimizerName::AdamW, "exponents_adam", "Adam")];
    let marks = "Marks are measured; dashed lines have the exponents of the theory and go through the largest width.";
    let rates = "The rate at which Z_B reaches a root mean square of 1. With Init[A] it falls with the root of the width, with Init[B] with the width \
                 itself; a rank-free multiplier makes Init[A]'s depend on the rank.";
    // A measurement that was stopped early lacks some of them.
    let mut section = |heading: &str, svg: Option<String>, caption: &str, table: Table| {
        if let Some(svg) = svg {
            let figures = vec![Figure { name: table.name.clone(), svg, caption: caption.to_owned() }];
            sections.push(Section { heading: heading.to_owned(), text: vec![], figures, tables: vec![table] });
        }
    };
    for (optimizer, name, heading) in of_optimizers {
        section(heading, drawn(exponents(found, optimizer))?, marks, table_of_cells(found, optimizer, name));
    }
    section("The largest stable learning rate", drawn(stable_rates(found))?, rates, table_of_laws(found));
    Ok(Report {
        title: "Exponents of one layer against the theory".to_owned(),
        found: found.sentence(),
        facts: facts(found),
        sections,
    })
}

fn facts(found: &Exponents) -> Vec<(String, String)> {
    let widths: Vec<String> = found.widths.iter().map(usize::to_string).collect();
    [
        ("widths", widths.join(", ")),
        ("rank", found.rank.to_string()),
        ("learning rate", format!("η = {} n^γ, γ = -1/2 and -1", found.constant)),
        ("measured after", format!("{} steps", found.steps)),
        ("seeds", format!("{}, from 0", found.seeds)),
        ("arithmetic", "f64 on the CPU".to_owned()),
        ("largest identity error", format!("{:.1e}", found.identity_error)),
        ("loralab", found.version.clone()),
        ("wall time", seconds(found.wall_seconds)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn table_of_cells(found: &Exponents, optimizer: OptimizerName, name: &str) -> Table {
    let cells = || found.cells.iter().filter(|cell| cell.optimizer == optimizer);
    let mut head: Vec<String> = ["start", "γ of η", "quantity", "theory"].map(str::to_owned).into();
    for fit in cells().next().map_or(&[][..], |cell| &cell.fits) {
        head.extend([format!("slope, {} to {}", fit.from, fit.to), "lower".to_owned(), "upper".to_owned()]);
    }
    head.push("within 0.05".to_owned());
    let rows = cells().map(|cell| {
        let mut row = vec![
            Cell::text(&cell.scheme),
            Cell::number(Some(cell.rate_exponent), |x| x.to_string()),
            Cell::text(&cell.quantity),
            Cell::number(Some(cell.theory), |x| x.to_string()),
        ];
        for fit in &cell.fits {
            row.push(Cell::number(Some(fit.slope), exponent));
            row.extend(Cell::ends(fit.interval, exponent));
        }
        row.resize(head.len() - 1, Cell::Unknown);
        let near = cell.fits.first().is_some_and(|fit| (fit.slope - cell.theory).abs() <= Exponents::TOLERANCE);
        row.push(Cell::text(if near { "yes" } else { "no" }));
        row
    });
    Table {
        name: name.to_owned(),
        caption: "Exponents of width. \"Within\" holds the first fit, where the leading term rules, to the theory."
            .to_owned(),
        rows: rows.collect(),
        head,
    }
}

fn table_of_laws(found: &Exponents) -> Table {
    let head = ["configuration", "against", "from", "to", "theory", "slope", "lower", "upper"];
    let rows = found.rate_laws.iter().map(|law| {
        let [low, high] = Cell::ends(law.fit.interval, exponent);
        vec![
            Cell::text(&law.configuration),
            Cell::text(if law.of == RateLawOf::Width { "width n" } else { "rank r" }),
            Cell::whole(law.fit.from),
            Cell::whole(law.fit.to),
            Cell::number(Some(law.theory), |x| x.to_string()),
            Cell::number(Some(law.fit.slope), exponent),
            low,
            high,
        ]
    });
    Table {
        name: "stable_rates".to_owned(),
        caption: "Exponents of the largest stable learning rate.".to_owned(),
        head: head.map(str::to_owned).into(),
        rows: rows.collect(),
    }
}
