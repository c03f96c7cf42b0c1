//! The diagnostics of some runs' adapters: in words, step by step, and adapter by adapter.

use loralab_experiment::{
    AdapterSnapshot, Curve, Diagnosis, Symptom, learning_rate_text, loss_text, symptoms_in_words,
};

use super::grid::swatch;
use crate::html::{escaped, unbroken};

/// A number of an adapter, with the head of its column.
type Column = (&'static str, fn(&Diagnosis) -> Option<f64>);

const COLUMNS: [Column; 10] = [
    ("‖Z<sub>A</sub>‖", |adapter| Some(adapter.z_a)),
    ("‖Z<sub>B</sub>‖", |adapter| Some(adapter.z_b)),
    ("δ<sub>1</sub>", |adapter| Some(adapter.delta_1)),
    ("δ<sub>2</sub>", |adapter| Some(adapter.delta_2)),
    ("δ<sub>3</sub>", |adapter| Some(adapter.delta_3)),
    ("‖A‖", |adapter| Some(adapter.a)),
    ("‖B‖", |adapter| Some(adapter.b)),
    ("‖sBA‖", |adapter| Some(adapter.product)),
    ("stable rank", |adapter| adapter.stable_rank),
    ("cos(sBA, −G)", |adapter| adapter.alignment),
];

/// The last snapshot of each run, an item each.
pub fn inside_words(runs: &[&Curve]) -> String {
    let item = |curve: &&Curve| {
        let (said, snapshot) = (symptoms_in_words(curve)?, curve.snapshots.last()?);
        let middle = |of: fn(&Diagnosis) -> f64| snapshot.spread(None, of).map(|[_, middle, _]| loss_text(middle));
        let (z_a, z_b) = (middle(|adapter| adapter.z_a)?, middle(|adapter| adapter.z_b)?);
        Some(format!(
            "<li>{}{} In the middle of them Z<sub>A</sub> is {z_a} and Z<sub>B</sub> {z_b}.{}</li>",
            swatch(Some(&curve.cell.scheme)),
            unbroken(&said),
            parts(snapshot)
        ))
    };
    runs.iter().filter_map(item).collect()
}

/// The shares of δ₁, δ₂ and δ₃ in a step's change of Z_B, over all adapters.
fn parts(snapshot: &AdapterSnapshot) -> String {
    let sum = |of: fn(&Diagnosis) -> f64| snapshot.adapters.iter().map(of).sum::<f64>();
    let parts = [sum(|adapter| adapter.delta_1), sum(|adapter| adapter.delta_2), sum(|adapter| adapter.delta_3)];
    let all: f64 = parts.iter().sum();
    if all <= 0.0 {
        return String::new();
    }
    let [a, b, both] = parts.map(|part| format!("{:.0} %", 100.0 * part / all));
    format!(
        " Of the three parts of a step's change of Z<sub>B</sub>, {a} is what A's training does alone, {b} what B's does, {both} what only both do."
    )
}

/// The adapters that there are to choose from, the chosen one selected.
pub fn adapter_options(runs: &[&Curve], chosen: Option<&str>) -> String {
    let adapters = runs.first().and_then(|curve| curve.snapshots.last()).map_or(&[][..], |snapshot| &snapshot.adapters);
    let option = |adapter: &Diagnosis| {
        let selected = if chosen == Some(&adapter.module) { " selected" } else { "" };
        format!("<option value=\"{}\"{selected}>{}</option>", escaped(&adapter.module), name(&adapter.module))
    };
    "<option value=\"\">all adapters</option>".to_owned() + &adapters.iter().map(option).collect::<String>()
}

/// The curves of the LoRA features as numbers: a row for each step that was looked at.
pub fn features_table(runs: &[&Curve], module: Option<&str>) -> String {
    let heads: String = runs
        .iter()
        .map(|curve| {
            let swatch = swatch(Some(&curve.cell.scheme));
            format!("<th scope=\"colgroup\" colspan=\"2\">{swatch}{}</th>", run(curve))
        })
        .collect();
    let quantities = "<th scope=\"col\">‖Z<sub>A</sub>‖</th><th scope=\"col\">‖Z<sub>B</sub>‖</th>".repeat(runs.len());
    let mut steps: Vec<usize> = runs.iter().flat_map(|curve| &curve.snapshots).map(|snapshot| snapshot.step).collect();
    steps.sort_unstable();
    steps.dedup();
    let row = |step: &usize| {
        let cells: String = runs
            .iter()
            .flat_map(|curve| {
                let snapshot = curve.snapshots.iter().find(|snapshot| snapshot.step == *step);
                let value = |of: fn(&Diagnosis) -> f64| snapshot?.spread(module, of).map(|[_, middle, _]| middle);
                [value(|adapter| adapter.z_a), value(|adapter| adapter.z_b)]
            })
            .map(cell)
            .collect();
        format!("<tr><th scope=\"row\">{step}</th>{cells}</tr>")
    };
    let rows: String = steps.iter().map(row).collect();
    let what = module.map_or_else(|| "the adapter in the middle".to_owned(), name);
    format!(
        "<caption>LoRA features over steps, root mean square: {what}</caption>\
         <thead><tr><th scope=\"col\" rowspan=\"2\">step</th>{heads}</tr><tr>{quantities}</tr></thead><tbody>{rows}</tbody>"
    )
}

/// The last snapshot of every adapter of the runs, one below the other for each adapter.
pub fn adapters_table(runs: &[&Curve]) -> String {
    let snapshots: Vec<(&Curve, &AdapterSnapshot)> =
        runs.iter().filter_map(|curve| Some((*curve, curve.snapshots.last()?))).collect();
    let heads: String = COLUMNS.iter().map(|(head, _)| format!("<th scope=\"col\">{head}</th>")).collect();
    let number = snapshots.iter().map(|(_, snapshot)| snapshot.adapters.len()).max().unwrap_or(0);
    let group = |index: usize| {
        let found: Vec<_> =
            snapshots.iter().filter_map(|(curve, snapshot)| Some((*curve, snapshot.adapters.get(index)?))).collect();
        let rows: String = found
            .iter()
            .enumerate()
            .map(|(place, (curve, adapter))| {
                let head = if place == 0 {
                    format!("<th scope=\"rowgroup\" rowspan=\"{}\">{}</th>", found.len(), name(&adapter.module))
                } else {
                    String::new()
                };
                let cells: String = COLUMNS.iter().map(|(_, of)| cell(of(adapter))).collect();
                let symptoms = Symptom::of(adapter).iter().map(Symptom::to_string).collect::<Vec<_>>().join(", ");
                let symptoms = if symptoms.is_empty() { "–" } else { &symptoms };
                format!(
                    "<tr>{head}<th scope=\"row\">{}{}</th>{cells}<td>{symptoms}</td></tr>",
                    swatch(Some(&curve.cell.scheme)),
                    run(curve)
                )
            })
            .collect();
        format!("<tbody>{rows}</tbody>")
    };
    let groups: String = (0..number).map(group).collect();
    format!(
        "<caption>Every adapter at the last snapshot</caption><thead><tr><th scope=\"col\">adapter</th><th scope=\"col\">run</th>{heads}\
         <th scope=\"col\">symptoms</th></tr></thead>{groups}"
    )
}

fn run(curve: &Curve) -> String {
    unbroken(&format!("{} at {}", curve.cell.scheme, learning_rate_text(curve.cell.learning_rate)))
}

/// `model.layers.1.self_attn.q_proj` as a person says it.
pub(super) fn name(module: &str) -> String {
    let parts: Vec<&str> = module.split('.').collect();
    let last = parts.last().copied().unwrap_or(module);
    let layer = parts.iter().position(|part| *part == "layers").and_then(|place| parts.get(place + 1));
    escaped(&layer.map_or_else(|| last.to_owned(), |layer| format!("layer {layer} {last}")))
}

fn cell(value: Option<f64>) -> String {
    format!("<td>{}</td>", value.map_or_else(|| "–".to_owned(), |value| unbroken(&loss_text(value))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sweep::tests::{diagnosed, sweep as sweep_so_far};

    #[test]
    fn what_was_seen_is_told_in_words_and_numbers() {
        let sweep = diagnosed();
        let runs = sweep.diagnosed(None);
        assert_eq!(runs.len(), 2);
        let words = inside_words(&runs).replace('\u{2011}', "-");
        assert!(words.contains("In init-a at 2e-3, seed 0, step 4, of 2 adapters: nothing amiss. What it says on the probe is 0.125 nats"), "{words}");
        assert!(words.contains("In init-b at 1e-3, seed 0, step 4, of 2 adapters: 2 B undertrained."), "{words}");
        assert!(words.contains("Z<sub>A</sub> is 1.50 and Z<sub>B</sub> 0.250."), "{words}");
        assert!(words.contains("40 % is what A's training does alone, 60 % what B's does, 0 % what only both do"));

        let table = features_table(&runs, None);
        assert!(table.contains("<th scope=\"row\">2</th><td>1.00</td><td>0.250</td>"), "{table}");
        assert!(table.contains("<th scope=\"row\">4</th><td>1.50</td><td>0.250</td>"), "{table}");
        let one = features_table(&runs, Some("model.layers.0.self_attn.v_proj"));
        assert!(one.contains("layer 0 v_proj") && one.contains("<td>3.00</td>"), "{one}");

        let adapters = adapters_table(&runs);
        assert_eq!((adapters.matches("<tbody>").count(), adapters.matches("<tr>").count()), (2, 5));
        assert_eq!(adapters.matches("B undertrained").count(), 2);
        assert!(adapters.contains("<th scope=\"rowgroup\" rowspan=\"2\">layer 0 q_proj</th>"));
        // Five numbers of a row of ten are told here; a stable rank that there is none is a dash.
        assert!(adapters.contains("<td>0.020</td><td>0.030</td><td>0.000</td>") && adapters.contains("<td>–</td>"));

        let options = adapter_options(&runs, Some("model.layers.0.self_attn.v_proj"));
        assert!(options.contains("<option value=\"model.layers.0.self_attn.v_proj\" selected>layer 0 v_proj</option>"));
    }

    #[test]
    fn a_rate_that_was_chosen_is_shown_for_every_scheme_that_has_it() {
        let sweep = diagnosed();
        let names = |rate| {
            let runs = sweep.diagnosed(rate);
            runs.iter().map(|curve| (curve.cell.scheme.clone(), curve.cell.learning_rate)).collect::<Vec<_>>()
        };
        let [a, b] = ["init-a", "init-b"].map(str::to_owned);
        assert_eq!(names(Some(1e-3)), [(a.clone(), 1e-3), (b, 1e-3)]);
        assert_eq!(names(Some(2e-3)), [(a, 2e-3)]);
        assert_eq!(names(Some(9.0)), []);
        assert!(sweep_so_far(None).diagnosed(None).is_empty());
    }
}
