//! The report of `reproduce toy`.

use loralab_experiment::{Toy, ToyReadout, factor_text, learning_rate_text, loss_text, rounded_rate_text};
use loralab_figure::{FigureError, toy_losses, toy_norms, toy_rates, toy_sweeps};

use crate::{Cell, Figure, Report, Section, Table, drawn, exponent, seconds};

/// What was found of the teacher's students.
///
/// # Errors
/// If a figure cannot be drawn.
pub fn of_toy(found: &Toy) -> Result<Report, FigureError> {
    let mut sections = vec![Section {
        heading: "The optimal learning rate against width".to_owned(),
        text: vec![
            "A teacher of width 1000 with an adapter of rank 20 answers standard normal inputs; students of the same form learn its answers by training \
             their adapters alone, all else frozen and random. The optimum of a start is where a parabola through the logarithms of the lowest mean \
             training loss and its neighbours is lowest. Intervals are Student's at 95 % around what the grid leaves open, with the standard error of a bootstrap over \
             seeds in which the optimum is looked for again every time; so are those of the exponents. Theory and experiment: Hayou, Ghosh, Yu 2024 \
             (arXiv 2406.08447)."
                .to_owned(),
            "The form of the network and the variance of its readout are our reading of the paper. The theory's -1/2 is of one layer. Where the readout \
             has a variance of 1/n, sign-like steps turn every entry of Z_B towards the readout's sign under Init[A], so that the output moves by √n \
             times as much; keeping the output of order 1 then asks for n^-3/4."
                .to_owned(),
        ],
        figures: Vec::from_iter(drawn(toy_rates(found))?.map(|svg| Figure {
            name: "optimal_rates".to_owned(),
            svg,
            caption: "Dashed lines begin at the narrowest students' optimum and have the exponents they are named after.".to_owned(),
        })),
        tables: vec![slopes(found), optima(found)],
    }];
    for readout in &found.readouts {
        sections.push(of_readout(found, readout)?);
    }
    Ok(Report {
        title: "Students of a teacher: which start wants which learning rate".to_owned(),
        found: found.sentence(),
        facts: facts(found),
        sections,
    })
}

fn of_readout(found: &Toy, readout: &ToyReadout) -> Result<Section, FigureError> {
    let name = readout.readout.name();
    let mut figures = Vec::new();
    let all = [
        (
            "norms",
            toy_norms(found, readout),
            "Means over the training examples of the norms of Z_A = A h and Z_B = B A h, where h is the hidden layer.",
        ),
        ("losses", toy_losses(found, readout), "Mean squared error on the training and on the test examples."),
        ("sweeps", toy_sweeps(found, readout), "The sweeps that the optima are read off."),
    ];
    for (what, svg, caption) in all {
        let named = |svg| Figure { name: format!("{what}_{name}"), svg, caption: caption.to_owned() };
        figures.extend(drawn(svg)?.map(named));
    }
    Ok(Section {
        heading: format!("Readout of {}", readout.readout.words()),
        text: readout.sentences(),
        figures,
        tables: vec![rates(readout)],
    })
}

fn facts(found: &Toy) -> Vec<(String, String)> {
    let [width, rank] = found.teacher;
    let [train, test] = found.examples;
    let readouts: Vec<&str> = found.readouts.iter().map(|readout| readout.readout.words()).collect();
    [
        ("network", found.form.words().to_owned()),
        ("readout", readouts.join("; ")),
        ("teacher", format!("width {width}, rank {rank}, readout variance 1/n")),
        ("students", format!("{} inputs, rank {}", found.inputs, found.rank)),
        ("examples", format!("{train} to train on, {test} to test with")),
        ("optimiser", "Adam, β 0.9 and 0.999, ε 1e-8, constant rate, full batch".to_owned()),
        ("steps", found.steps.to_string()),
        ("seeds", format!("{}, from 0", found.seeds)),
        ("device", found.device.clone()),
        ("loralab", found.version.clone()),
        ("wall time", seconds(found.wall_seconds)),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}

fn slopes(found: &Toy) -> Table {
    let row = |readout: &ToyReadout| {
        let fits = readout.slopes.iter().map(|slope| (slope.scheme.clone(), Some(slope.fit)));
        let ratio = std::iter::once(("ratio of the two".to_owned(), readout.ratio));
        let readout = readout.readout;
        fits.chain(ratio)
            .map(move |(of, fit)| {
                let [low, high] = Cell::ends(fit.and_then(|fit| fit.interval), exponent);
                vec![
                    Cell::text(readout.words()),
                    Cell::text(of),
                    Cell::number(fit.map(|fit| fit.slope), exponent),
                    low,
                    high,
                    Cell::number(fit.map(|fit| fit.from as f64), |x| x.to_string()),
                    Cell::number(fit.map(|fit| fit.to as f64), |x| x.to_string()),
                ]
            })
            .collect::<Vec<_>>()
    };
    let head = ["readout", "optimal rate of", "exponent", "lower", "upper", "from width", "to"];
    Table {
        name: "slopes".to_owned(),
        caption: "Exponents of the optimal learning rate in the width.".to_owned(),
        head: head.map(str::to_owned).into(),
        rows: found.readouts.iter().flat_map(row).collect(),
    }
}

fn optima(found: &Toy) -> Table {
    let mut rows = Vec::new();
    for readout in &found.readouts {
        for width in &readout.widths {
            for (start, test) in width.starts.iter().zip(&width.test_losses) {
                let optimum = start.optimum.as_ref();
                let mut row = vec![
                    Cell::text(readout.readout.words()),
                    Cell::whole(width.width),
                    Cell::text(&start.scheme),
                    Cell::number(optimum.map(|optimum| optimum.learning_rate), rounded_rate_text),
                ];
                row.extend(Cell::bounds(optimum.and_then(|optimum| optimum.bounds()), rounded_rate_text));
                row.push(Cell::number(start.best_loss, loss_text));
                row.extend(Cell::ends(optimum.and_then(|optimum| optimum.loss_interval), loss_text));
                row.push(Cell::number(*test, loss_text));
                let comparison = width.comparison.as_ref().filter(|pair| pair.first == start.scheme);
                row.push(Cell::number(comparison.map(|pair| pair.rate_ratio), factor_text));
                rows.push(row);
            }
        }
    }
    let head = [
        "readout",
        "width",
        "start",
        "optimum",
        "lower",
        "upper",
        "train loss",
        "lower",
        "upper",
        "test loss",
        "optimum, times the other's",
    ];
    Table {
        name: "optima".to_owned(),
        caption: "Each start at its best. The last column stands at the start with the lower loss.".to_owned(),
        head: head.map(str::to_owned).into(),
        rows,
    }
}

fn rates(readout: &ToyReadout) -> Table {
    let head = ["width", "start", "learning rate", "train loss", "lowest", "highest", "diverged"];
    let mut rows = Vec::new();
    for width in &readout.widths {
        for start in &width.starts {
            for rate in &start.learning_rates {
                let mut row = vec![
                    Cell::whole(width.width),
                    Cell::text(&start.scheme),
                    Cell::number(Some(rate.learning_rate), |rate| {
                        learning_rate_text(format!("{rate:.3e}").parse().unwrap_or(rate))
                    }),
                    Cell::number(rate.mean_loss, loss_text),
                ];
                row.extend(Cell::ends(rate.range().map(|(low, high)| [low, high]), loss_text));
                row.push(Cell::whole(rate.diverged));
                rows.push(row);
            }
        }
    }
    Table {
        name: format!("rates_{}", readout.readout.name()),
        caption: "Mean squared error after the last step, over seeds.".to_owned(),
        head: head.map(str::to_owned).into(),
        rows,
    }
}
