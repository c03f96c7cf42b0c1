//! The starts of the schemes: in words, scheme by scheme, and layer by layer.

use loralab_experiment::{LayerStart, SchemeStart, loss_text};

use super::{grid::swatch, inside::name};
use crate::html::{escaped, unbroken};

/// A quantity of a layer, with the head of its column.
type Column = (&'static str, fn(&LayerStart) -> f64);

const COLUMNS: [Column; 6] = [
    ("rank", |layer| layer.rank as f64),
    ("‖A‖", |layer| layer.a),
    ("‖B‖", |layer| layer.b),
    ("‖sBA‖ / ‖W‖", |layer| layer.product),
    ("energy", |layer| layer.energy),
    ("moved / ‖W‖", |layer| layer.moved),
];

/// A list item for each start.
pub fn starts_words(starts: &[&SchemeStart]) -> String {
    let item = |start: &&SchemeStart| {
        let at_step_0 = match start.spread(|layer| layer.moved) {
            Some([.., most]) if most.is_infinite() => {
                "the model does not begin as the base: weights that are zero there are not here".to_owned()
            }
            Some([.., most]) if most > 0.0 => {
                format!("the model begins with weights moved by up to {} of their norm", number(most))
            }
            _ => "the model begins as the base, exactly".to_owned(),
        };
        let data = match start.tokens {
            0 => "no data were read".to_owned(),
            tokens => format!("{tokens} tokens went through the model for it"),
        };
        let ranks = match start.spread(|layer| layer.rank as f64) {
            Some([low, _, high]) if low < high => format!(" Its layers got ranks from {low} to {high}."),
            _ => String::new(),
        };
        format!(
            "<li>{}<b>{}</b>: {at_step_0}; {data}, in {} s.{ranks}</li>",
            swatch(Some(&start.scheme)),
            unbroken(&start.scheme),
            number(start.seconds)
        )
    };
    starts.iter().map(item).collect()
}

/// The middle over layers of every quantity, and the smallest and largest where they differ: a row for each scheme.
pub fn starts_table(starts: &[&SchemeStart]) -> String {
    let row = |start: &&SchemeStart| {
        let cells: String = COLUMNS.iter().map(|(_, of)| spread(start.spread(of))).collect();
        let (name, seconds) = (unbroken(&start.scheme), number(start.seconds));
        format!(
            "<tr><th scope=\"row\">{}{name}</th>{cells}<td>{}</td><td>{seconds}</td></tr>",
            swatch(Some(&start.scheme)),
            start.tokens
        )
    };
    format!(
        "<caption>Each start: the layer in the middle (the smallest to the largest)</caption>\
         <thead><tr><th scope=\"col\">start</th>{}<th scope=\"col\">tokens read</th><th scope=\"col\">seconds</th></tr></thead>\
         <tbody>{}</tbody>",
        heads(),
        starts.iter().map(row).collect::<String>()
    )
}

/// Every layer of every start, those of one layer one below the other.
pub fn starts_layers(starts: &[&SchemeStart]) -> String {
    let number_of_layers = starts.iter().map(|start| start.layers.len()).max().unwrap_or(0);
    let group = |index: usize| {
        let found: Vec<_> = starts.iter().filter_map(|start| Some((*start, start.layers.get(index)?))).collect();
        let row = |(place, (start, layer)): (usize, &(&SchemeStart, &LayerStart))| {
            let head = match place {
                0 => {
                    format!("<th scope=\"rowgroup\" rowspan=\"{}\">{}</th>", found.len(), name(&layer.module))
                }
                _ => String::new(),
            };
            let cells: String = COLUMNS.iter().map(|(_, of)| format!("<td>{}</td>", number(of(layer)))).collect();
            let first = layer.spectrum.first().map_or_else(|| "–".to_owned(), |value| number(*value));
            let last = layer.spectrum.last().map_or_else(|| "–".to_owned(), |value| number(*value));
            let scheme = unbroken(&start.scheme);
            let swatch = swatch(Some(&start.scheme));
            format!("<tr>{head}<th scope=\"row\">{swatch}{scheme}</th>{cells}<td>{first}</td><td>{last}</td></tr>")
        };
        format!("<tbody>{}</tbody>", found.iter().enumerate().map(row).collect::<String>())
    };
    format!(
        "<caption>Every layer of every start</caption><thead><tr><th scope=\"col\">layer</th><th scope=\"col\">start</th>{}\
         <th scope=\"col\">largest singular value</th><th scope=\"col\">smallest</th></tr></thead>{}",
        heads(),
        (0..number_of_layers).map(group).collect::<String>()
    )
}

fn heads() -> String {
    COLUMNS.iter().map(|(head, _)| format!("<th scope=\"col\">{}</th>", escaped(head))).collect()
}

fn spread(values: Option<[f64; 3]>) -> String {
    let said = match values {
        Some([low, middle, high]) if low < high => {
            format!("{} <span class=\"none\">({}–{})</span>", number(middle), number(low), number(high))
        }
        Some([_, middle, _]) => number(middle),
        None => "–".to_owned(),
    };
    format!("<td>{said}</td>")
}

/// Zero, which is exact here, and whole numbers as such; what would look like zero by its power of ten.
fn number(value: f64) -> String {
    let text = match value {
        0.0 => "0".to_owned(),
        _ if value.fract() == 0.0 && value.abs() < 1e6 => format!("{value}"),
        _ if value.abs() < 0.01 => format!("{value:.1e}"),
        _ => loss_text(value),
    };
    unbroken(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(scheme: &str, product: f64, moved: f64, ranks: [usize; 2]) -> SchemeStart {
        let layer = |(place, rank): (usize, usize)| LayerStart {
            module: format!("model.layers.{place}.mlp.up_proj"),
            rank,
            a: 1.5 + place as f64,
            b: product,
            product,
            energy: 0.25,
            moved,
            spectrum: vec![2.5; rank],
        };
        let layers = ranks.into_iter().enumerate().map(layer).collect();
        SchemeStart { scheme: scheme.to_owned(), scale: 2.0, layers, tokens: 64 * ranks[0], seconds: 0.25 }
    }

    #[test]
    fn starts_are_told_in_words_and_numbers() {
        let [a, eva] = [start("init-a", 0.0, 0.0, [0, 8]), start("hrp", 0.125, 3e-5, [8, 8])];
        let starts = [&a, &eva];
        let words = starts_words(&starts).replace('\u{2011}', "-");
        assert!(words.contains("<b>init-a</b>: the model begins as the base, exactly; no data were read, in 0.250 s."));
        assert!(words.contains("Its layers got ranks from 0 to 8."), "{words}");
        assert!(words.contains("weights moved by up to 3.0e-5 of their norm; 512 tokens went through"), "{words}");
        assert_eq!(words.matches("<li>").count(), 2);
        let zero = start("init-ab", f64::INFINITY, f64::INFINITY, [8, 8]);
        assert!(starts_words(&[&zero]).contains("weights that are zero there are not here"));

        let table = starts_table(&starts).replace('\u{2011}', "-");
        assert_eq!((table.matches("<tr>").count(), table.matches("<th scope=\"col\">").count()), (3, 9));
        assert!(table.contains("<td>0 <span class=\"none\">(0–8)</span></td>"), "{table}");
        assert!(table.contains("<td>1.50 <span class=\"none\">(1.50–2.50)</span></td><td>0</td><td>0</td>"), "{table}");
        assert!(table.contains("<td>3.0e-5</td><td>512</td><td>0.250</td>"), "{table}");

        let layers = starts_layers(&starts);
        assert_eq!((layers.matches("<tbody>").count(), layers.matches("<tr>").count()), (2, 5));
        assert!(layers.contains("<th scope=\"rowgroup\" rowspan=\"2\">layer 1 up_proj</th>"));
        // A layer that got no rank has no singular value.
        assert!(layers.contains("<td>–</td><td>–</td>") && layers.contains("<td>2.50</td><td>2.50</td>"));
    }
}
