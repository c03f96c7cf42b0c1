//! The GPU that tests run on: the best there is, software if nothing else. `LORALAB_GPU` names another. That there is none fails a test.

use std::{
    sync::{Arc, LazyLock},
    time::Instant,
};

use loralab_core::{
    device::{
        wait,
        webgpu::{Accelerator, Checks, Options, Profile, Tiling, Wanted, adapters},
    },
    graph::shader::Tiles,
};

static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Opens the GPU anew.
pub fn open(profile: Profile, checks: Checks) -> Accelerator {
    open_with(profile, checks, Tiling::Given(Tiles::default()))
}

/// Opens it with these tiles.
pub fn open_with(profile: Profile, checks: Checks, tiling: Tiling) -> Accelerator {
    let wanted = std::env::var("LORALAB_GPU").map_or(Wanted::Any, Wanted::Named);
    let options = Options { profile, checks, clock: || START.elapsed().as_secs_f64(), tiling, building: |_, _| {} };
    wait(async { Accelerator::open(wanted.choose(adapters().await)?, options).await })
        .expect("tests need a GPU, and a software one will do")
}

static NATIVE: LazyLock<Arc<Accelerator>> = LazyLock::new(|| Arc::new(open(Profile::Native, Checks::On)));
static WEB_BASE: LazyLock<Arc<Accelerator>> = LazyLock::new(|| Arc::new(open(Profile::WebBase, Checks::On)));
static UNCHECKED: LazyLock<Arc<Accelerator>> = LazyLock::new(|| Arc::new(open(Profile::Native, Checks::Off)));

/// With everything the GPU has, and checks.
pub fn native() -> Arc<Accelerator> {
    NATIVE.clone()
}

/// With what every browser grants.
pub fn web_base() -> Arc<Accelerator> {
    WEB_BASE.clone()
}

/// Without checks.
pub fn unchecked() -> Arc<Accelerator> {
    UNCHECKED.clone()
}
