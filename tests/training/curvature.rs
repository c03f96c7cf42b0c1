//! The curvature of small models against their whole Hessian in f64, and that of the shipped bases against PyTorch's.

use loralab_core::{
    device::RunSettings,
    graph::{plan::Shape, tape::Tape},
    lab::{
        Curvature, Probed, curvature,
        train::{Run, start},
    },
    lora::init,
    models::{Adapters, Base, Training, llama::MODULES},
};
use loralab_cpu::Dual;
use loralab_data::Batch;
use loralab_linalg::{Eigen, Mat, Stream, symmetric_eigen};

use safetensors::SafeTensors;

use super::NANO;
use crate::small::{SETTINGS, Subject, TRAIN, subjects};

/// Made by `tests/fixtures/make_curvature.py`.
const FILE: &[u8] = include_bytes!("../fixtures/curvature.safetensors");

/// The difference quotient's step in f64.
const STEP: f64 = 1e-5;

/// The Hessian column by column, out of f64 gradients.
fn hessian(subject: &Subject) -> (Eigen, Mat<f64>, Vec<f64>) {
    let plan = subject.tape().compile(TRAIN);
    let start: Vec<f64> = subject.trained(&plan).into_iter().map(f64::from).collect();
    let mut device = subject.device::<f64>(plan);
    let mut gradient = |column: usize, offset: f64| {
        let mut at = start.clone();
        at[column] += offset;
        device.set_trained(0, &at);
        device.gradient(0, subject.rows.input()).1
    };
    let columns: Vec<Vec<f64>> = (0..start.len())
        .map(|column| {
            let (ahead, behind) = (gradient(column, STEP), gradient(column, -STEP));
            ahead.iter().zip(&behind).map(|(x, y)| (x - y) / (2.0 * STEP)).collect()
        })
        .collect();
    let whole =
        Mat::from_fn(start.len(), start.len(), |row, column| 0.5 * (columns[column][row] + columns[row][column]));
    (symmetric_eigen(whole.as_ref()).expect("it is finite"), whole, gradient(0, 0.0))
}

fn probed(subject: &Subject, products: usize) -> Curvature {
    let plan = subject.tape().compile(TRAIN);
    let (trained, frozen_pairs) = (subject.trained(&plan), subject.frozen_pairs(&plan));
    let batch = subject.rows.batch();
    let probed = Probed {
        trained: &trained,
        frozen_pairs: &frozen_pairs,
        settings: SETTINGS,
        batches: std::slice::from_ref(&batch),
    };
    curvature(plan.into(), subject.base.clone(), Some(1), probed, products, 0).expect("it is finite")
}

#[test]
fn sharpness_and_the_best_sign_step_are_those_of_the_whole_hessian() {
    // The decoders with adapters, without and with frozen pairs.
    for subject in subjects(1).into_iter().take(2) {
        let what = subject.what;
        let (exact, whole, gradient) = hessian(&subject);
        let found = probed(&subject, 40);
        let [largest, smallest] = [exact.values[0], exact.values[exact.values.len() - 1]];
        println!("{what}: {largest} and {smallest}, found {found:?}");
        // The error of the differences above, which comes on top of the residual that the probe reports.
        let differences = 1e-6 * largest;
        for (found, exact) in [(found.largest, largest), (found.smallest, smallest)] {
            assert!((found.value - exact).abs() <= found.residual + differences, "{what}: {exact}, {found:?}");
            assert!(found.residual <= 1e-2 * exact.abs(), "{what}: {exact}, {found:?}");
        }
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        assert!((found.gradient_norm / norm - 1.0).abs() < 1e-12, "{what}: {norm}");
        let signs: Vec<f64> = gradient.iter().map(|g| g.signum()).collect();
        let entries = (0..signs.len()).flat_map(|row| (0..signs.len()).map(move |column| (row, column)));
        let curved: f64 = entries.map(|(row, column)| signs[row] * whole[(row, column)] * signs[column]).sum();
        let best = gradient.iter().map(|g| g.abs()).sum::<f64>() / curved;
        match found.sign_step {
            Some(rate) => assert!((rate / best - 1.0).abs() < 1e-5, "{what}: {best}, {found:?}"),
            None => assert!(best < 0.0, "{what}: {best}"),
        }
        // Few products cannot know it, and say so.
        let early = probed(&subject, 3);
        assert!(early.largest.residual > 10.0 * found.largest.residual, "{what}: {early:?}");
    }
}

/// Every kind of model, the toy's too: the derivative that a gradient carries is that of differences, and the map is symmetric.
#[test]
fn a_gradient_of_dual_numbers_carries_its_own_derivative() {
    for subject in subjects(1) {
        let what = subject.what;
        let plan = || subject.tape().compile(TRAIN);
        let start = subject.trained(&plan());
        let mut dual = subject.device::<Dual>(plan());
        let mut along = |direction: &[f64]| {
            let moving = |(&at, &tangent): (&f32, &f64)| Dual { value: at.into(), tangent };
            dual.set_trained(0, &start.iter().zip(direction).map(moving).collect::<Vec<_>>());
            dual.gradient(0, subject.rows.input()).1
        };
        let [one, other] = ["one", "other"].map(|name| {
            let mut direction = vec![0.0_f32; start.len()];
            Stream::new(0, name).normal(1.0, &mut direction);
            direction.into_iter().map(f64::from).collect::<Vec<f64>>()
        });
        let (by_one, by_other) = (along(&one), along(&other));
        let mut device = subject.device::<f64>(plan());
        let mut gradient = |offset: f64| {
            let at: Vec<f64> = start.iter().zip(&one).map(|(&at, v)| f64::from(at) + offset * v).collect();
            device.set_trained(0, &at);
            device.gradient(0, subject.rows.input()).1
        };
        let (here, ahead, behind) = (gradient(0.0), gradient(STEP), gradient(-STEP));
        let largest = by_one.iter().map(|g| g.tangent.abs()).fold(0.0, f64::max);
        for (place, found) in by_one.iter().enumerate() {
            let expected = (ahead[place] - behind[place]) / (2.0 * STEP);
            assert!((found.value - here[place]).abs() <= 1e-12 * here[place].abs().max(1e-3), "{what}: {found:?}");
            assert!((found.tangent - expected).abs() <= 1e-6 * largest, "{what}, {place}: {found:?}, {expected}");
        }
        let product = |by: &[Dual], with: &[f64]| by.iter().zip(with).map(|(x, y)| x.tangent * y).sum::<f64>();
        let [there, back] = [product(&by_one, &other), product(&by_other, &one)];
        let size: f64 = by_one.iter().zip(&other).map(|(x, y)| (x.tangent * y).abs()).sum();
        assert!(largest > 0.0 && (there - back).abs() <= 1e-12 * size, "{what}: {there} and {back}");
    }
}

/// The curvature at a start of a shipped base, on the rows of the fixture.
fn shipped(base: &Base, scheme: &str, batch: &Batch, sequences: usize) -> Curvature {
    let adapters = Adapters::new(8, MODULES.map(str::to_owned).into());
    let tokens = batch.tokens.len() / sequences;
    let mut tape = Tape::new(Shape { runs: 1, sequences, tokens }, false);
    base.model.record(&mut tape, Training::Adapters(base, &adapters));
    let plan = tape.compile(TRAIN);
    let settings = RunSettings { scale: 2.0, ..RunSettings::PLAIN };
    let scheme = init::find(scheme).expect("it is known");
    let run = Run { scheme, chosen: Default::default(), seed: 0, learning_rate: 1e-3, settings };
    let (trained, _) = start(&plan, &[], &run).expect("it needs no weights").numbers();
    let probed = Probed { trained: &trained, frozen_pairs: &[], settings, batches: std::slice::from_ref(batch) };
    curvature(plan.into(), base.tensors.clone(), None, probed, 200, 0).expect("it is finite")
}

#[test]
fn the_curvature_at_the_starts_of_the_shipped_bases_is_pytorchs() {
    let file = SafeTensors::deserialize(FILE).expect("the fixture is whole");
    let tensor = |name: &str| file.tensor(name).unwrap_or_else(|error| panic!("{name}: {error}"));
    let bytes = |name: &str| tensor(name).data().iter().map(|&byte| u32::from(byte)).collect::<Vec<_>>();
    let mask = bytes("mask");
    let counted: u32 = mask.iter().sum();
    let weights = mask.iter().map(|&mask| mask as f32 / counted as f32).collect();
    let (tokens, targets) = (bytes("tokens"), bytes("targets"));
    let batch = Batch { tokens, targets, weights, ..Batch::default() };
    let sequences = tensor("tokens").shape()[0];
    let tiny =
        Base::from_safetensors(&include_bytes!("../../crates/core/bases/tiny.safetensors")[..]).expect("it is whole");
    let expected = tensor("curvature");
    let mut expected = expected.data().as_chunks().0.iter().map(|&bytes| f64::from_le_bytes(bytes));
    for (name, base) in [("nano", &*NANO), ("tiny", &tiny)] {
        for scheme in ["init-a", "init-b"] {
            let found = shipped(base, scheme, &batch, sequences);
            println!("{name}, {scheme}: {found:?}");
            for (what, found, off) in [
                ("loss", found.loss, 0.0),
                ("gradient", found.gradient_norm, 0.0),
                ("largest", found.largest.value, found.largest.residual),
                ("smallest", found.smallest.value, found.smallest.residual),
            ] {
                let expected = expected.next().expect("five numbers of each start");
                // Weights of 1/count are rounded to f32 here.
                let allowed = off + 1e-6 * expected.abs();
                assert!(
                    (found - expected).abs() <= allowed,
                    "{name}, {scheme}, {what}: {found}, PyTorch says {expected}"
                );
                assert!(off <= 0.02 * expected.abs(), "{name}, {scheme}, {what}: {found} is known to {off} only");
            }
            let expected = Some(expected.next().expect("five numbers of each start")).filter(|rate| *rate > 0.0);
            assert_eq!(found.sign_step.is_some(), expected.is_some(), "{name}, {scheme}: PyTorch says {expected:?}");
            for (found, expected) in found.sign_step.iter().zip(expected) {
                assert!((found / expected - 1.0).abs() < 1e-5, "{name}, {scheme}: {found}, PyTorch says {expected}");
            }
        }
    }
}
