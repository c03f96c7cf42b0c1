//! The page's program, which `index.html` loads.

#[cfg(target_family = "wasm")]
mod browser;

#[cfg(target_family = "wasm")]
fn main() {
    browser::open();
}

#[cfg(not(target_family = "wasm"))]
fn main() {
    eprintln!("the page runs in a browser: `cargo xtask web` builds and serves it");
}
