//! The starts of the schemes, on the page: the numbers of `loralab init`, before anything is trained.

use std::process::Command;

use serde_json::json;
use tempfile::TempDir;

use super::{assert_no_errors, play};

/// The lines that `loralab init` prints of a start's layers, cut into words.
fn native(scheme: &str) -> Vec<Vec<String>> {
    let place = TempDir::new().expect("a temporary folder");
    let output = Command::new(env!("CARGO_BIN_EXE_loralab"))
        .args(["init", scheme, "--base", "nano", "--rank", "4", "--device", "cpu", "--output", "start"])
        .current_dir(&place)
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let lines = text.lines().filter(|line| line.starts_with("model.layers."));
    lines.map(|line| line.split_whitespace().map(str::to_owned).collect()).collect()
}

#[test]
fn the_starts_are_told_before_any_step_and_are_the_binarys() {
    let report = play(
        "?v=1&base=nano&schemes=init-a,pissa,eva&rank=4&device=cpu",
        "",
        r#"
        await ready();
        const before = find("starts-found").hidden;
        const began = performance.now();
        press("inspect");
        const disabled = find("inspect").disabled;
        await until(() => !find("inspect").disabled);
        const seconds = (performance.now() - began) / 1000;
        const spot = find("spectra").querySelector("circle[fill='#0072B2']").getBoundingClientRect();
        const [clientX, clientY] = [spot.left + spot.width / 2, spot.top + spot.height / 2];
        find("spectra").dispatchEvent(new frame.contentWindow.MouseEvent("mousemove", { clientX, clientY, bubbles: true }));
        const seen = {
            words: [...find("starts-words").children].map((item) => item.textContent.replaceAll("\u2011", "-")),
            table: cells("starts-table"),
            layers: cells("starts-layers"),
            figure: text("spectra"),
            pointed: find("tip").hidden ? "nothing" : text("tip"),
        };
        enter("f-rank", "2");
        return { before, disabled, seconds, seen, after: find("starts-found").hidden };
        "#,
    );
    assert_no_errors(&report);
    let answer = &report["answer"];
    assert_eq!([&answer["before"], &answer["disabled"], &answer["after"]], [true, true, true], "{answer:#}");
    println!("three starts of nano took {} s", answer["seconds"]);
    let seen = &answer["seen"];
    let words = seen["words"].as_array().expect("a list");
    let said = |place: usize| words[place].as_str().expect("a text");
    assert!(said(0).starts_with("init-a: the model begins as the base, exactly; no data were read, in "), "{answer:#}");
    assert!(said(1).starts_with("pissa: the model begins ") && said(1).contains("no data were read"), "{answer:#}");
    assert!(said(2).contains(" tokens went through the model for it, in "), "{answer:#}");
    let table = seen["table"].as_array().expect("rows");
    assert_eq!((table.len(), &table[1][0], &table[3][0]), (4, &json!("init-a"), &json!("eva")));
    let figure = seen["figure"].as_str().expect("a text");
    assert!(["init-a: A", "pissa: s·BA", "eva: A"].iter().all(|text| figure.contains(text)), "{figure}");
    assert!(seen["pointed"].as_str().is_some_and(|text| text.starts_with("init-a: A, value 1: ")), "{answer:#}");

    // Layer by layer, to the digits that both show.
    let layers = seen["layers"].as_array().expect("rows");
    assert_eq!(layers.len(), 1 + 14 * 3);
    for (place, scheme) in ["init-a", "pissa", "eva"].into_iter().enumerate() {
        let native = native(scheme);
        assert_eq!(native.len(), 14);
        for (layer, line) in native.iter().enumerate() {
            let row = layers[1 + 3 * layer + place].as_array().expect("cells");
            // The first row of a layer begins with its name.
            let shown = &row[usize::from(place == 0)..];
            assert_eq!(shown[0], scheme);
            assert_eq!(shown[1], line[1].as_str(), "{scheme}, {line:?}: {row:?}");
            for (column, (shown, native)) in shown[2..6].iter().zip(&line[2..6]).enumerate() {
                let [shown, native] =
                    [shown.as_str().unwrap_or_default(), native].map(|text| text.parse::<f64>().expect("a number"));
                // The command has three decimals, the page three digits or two.
                let rounding = 0.0006 + 0.06 * native.abs().min(0.01) + 0.006 * native.abs();
                assert!((shown - native).abs() <= rounding, "{scheme}, {line:?}, {column}: {shown}, {native}");
            }
        }
    }
}
