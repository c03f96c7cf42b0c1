//! `cargo xtask screenshots`: pictures of the built page after a real training, taken by a headless Chromium.

pub mod chromium;
mod colours;
pub mod server;

use std::{fs, path::PathBuf, process::ExitCode};

use anyhow::{Context, Result, bail};

use crate::ROOT;
use chromium::{Chromium, Look};
use server::serve;

/// The largest file that belongs into the repository, in bytes.
const LARGEST: usize = 150_000;

/// The experiment that is trained, as a link: enough steps to see where the starts differ, and no more than a minute of one thread.
const QUERY: &str = "?v=1&base=nano&seeds=1&steps=100&evaluate_every=10&diagnose_every=10&device=cpu&run";

/// The pictures: their files' names in `web/`, what is at their upper edge, how it is looked at.
const PICTURES: [(&str, &str, Look); 3] = [
    ("page-light.png", "h1", Look { width: 1240, height: 1200, dark: false, phone: false }),
    ("page-dark.png", "#inside", Look { width: 1240, height: 1000, dark: true, phone: false }),
    ("page-phone.png", "#sentence", Look { width: 390, height: 844, dark: false, phone: true }),
];

/// Scrolls to what is selected, below the bar that stays.
const SCROLL: &str = "scrollTo(0, 0); scrollTo(0, document.querySelector('SELECTED').getBoundingClientRect().top - document.querySelector('.run').offsetHeight - 12)";

/// Takes the pictures.
pub fn take() -> Result<ExitCode> {
    let dist = PathBuf::from(ROOT).join("dist");
    if !dist.join("index.html").exists() {
        bail!("there is no built page to take pictures of; `cargo xtask web --release` builds it");
    }
    let origin = serve(dist, 0)?;
    let mut chromium = Chromium::start(&[])?;
    chromium.open(&format!("{origin}/index.html{QUERY}"))?;
    println!("training in the page, which takes about a minute …");
    let done = "document.getElementById('status').textContent.startsWith('Done') && !document.getElementById('texts').textContent.includes('…')";
    chromium.wait_until(done, "document.getElementById('status').textContent")?;
    for (name, selected, look) in PICTURES {
        chromium.look(look)?;
        chromium.evaluate(&SCROLL.replace("SELECTED", selected))?;
        let png = colours::few(&chromium.picture()?)?;
        if png.len() > LARGEST {
            bail!("{name} would have {} bytes, more than the {LARGEST} that belong into the repository", png.len());
        }
        let path = PathBuf::from(ROOT).join("web").join(name);
        fs::write(&path, &png).with_context(|| format!("{} can't be written", path.display()))?;
        println!("web/{name}: {} × {}, {} bytes", look.width, look.height, png.len());
    }
    Ok(ExitCode::SUCCESS)
}
