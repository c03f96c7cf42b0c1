//! Broken shaders, each of which the comparison must find: a test that nothing can fail proves nothing.
//!
//! `LORALAB_OPS=rope,bias` tries those of these ops only.

use std::{collections::BTreeMap, sync::Arc};

use loralab_core::{
    device::{
        shaders,
        webgpu::{Accelerator, Checks, Profile, Tiling},
    },
    graph::shader::{Tile, Tiles},
};

use super::{
    PART,
    cases::{self, Case, Mutant, cases},
    fill::{self, differences},
    is_asked, judge,
};
use crate::gpu;

/// Least number of mutants of a core op.
const ENOUGH: usize = 12;
const CORE: [&str; 7] =
    ["linear", "lora_linear", "attention", "rms_norm", "cross_entropy", "linear_cross_entropy", "adamw"];

/// A part of the cases' names for every folder of shaders whose cases are not called like it.
const CASES: [(&str, &str); 8] = [
    ("cache", "attention from a cache"),
    ("clip", "adamw"),
    ("finite", "adamw"),
    ("add", "add, relu"),
    ("relu", "add, relu"),
    ("swiglu", "add, relu"),
    ("step", "embedding"),
    ("adamw", "adamw"),
];

#[test]
fn there_are_enough_mutants_of_every_core_op_and_some_of_every_other() {
    let mut count = BTreeMap::<&str, usize>::new();
    for shader in shaders() {
        count.insert(folder(shader.name), 0);
    }
    for (shader, from, _) in mutants() {
        let table = shaders().find(|table| table.name == *shader).unwrap_or_else(|| panic!("there is no {shader}"));
        assert!(table.source().contains(from), "{shader} has no «{from}» that could be broken");
        *count.entry(folder(shader)).or_default() += 1;
    }
    for (op, count) in count {
        let least = if CORE.contains(&op) { ENOUGH } else { 1 };
        assert!(count >= least, "{op} has {count} mutants, at least {least} are needed");
    }
}

#[test]
fn every_even_mutant_is_found() {
    find_every_second(0);
}

#[test]
fn every_odd_mutant_is_found() {
    find_every_second(1);
}

/// Half of the mutants, so that two cores can look for them.
fn find_every_second(first: usize) {
    let cases = cases();
    let (mut survivors, mut tried) = (Vec::new(), 0);
    for (shader, from, to) in mutants().skip(first).step_by(2).filter(|(shader, ..)| is_asked(folder(shader))) {
        tried += 1;
        let table = shaders().find(|table| table.name == *shader).expect("the test above looks for it");
        let tiles: &[Tile] = if shader.ends_with("_large") { &[Tile::Large, Tile::Tall] } else { &[Tile::Square] };
        let open = |tile: &Tile| {
            let mut gpu = gpu::open_with(Profile::Native, Checks::On, Tiling::Given(Tiles::all(*tile)));
            gpu.replace_source(shader, table.source().replace(from, to));
            // A slip in a tensor's parts shows where it has some.
            if from.contains("params.first") || from.contains("token < params.count") {
                gpu.bind_at_most(PART);
            }
            Arc::new(gpu)
        };
        let gpus: Vec<Arc<Accelerator>> = tiles.iter().map(open).collect();
        let op = folder(shader);
        if ["uniform", "normal"].contains(&op) {
            if gpus.iter().all(|gpu| differences(gpu).is_empty()) {
                survivors.push(format!("{shader}: «{from}» → «{to}»"));
            }
            continue;
        }
        let of = CASES.iter().find(|(folder, _)| *folder == op).map_or(op, |(_, cases)| cases);
        let fails = |gpu: &Arc<Accelerator>| {
            let of_op = cases.iter().filter(|case: &&Case| case.what.starts_with(of));
            of_op.into_iter().any(|case| judge(case, gpu).failure().is_some())
        };
        if !gpus.iter().any(fails) {
            survivors.push(format!("{shader}: «{from}» → «{to}»"));
        }
    }
    assert!(survivors.is_empty(), "{} of {tried} mutants live:\n{}", survivors.len(), survivors.join("\n"));
}

/// Every broken kernel.
fn mutants() -> impl Iterator<Item = &'static Mutant> {
    cases::mutants().chain(fill::MUTANTS)
}

fn folder(shader: &str) -> &str {
    shader.split('/').next().unwrap_or(shader)
}
