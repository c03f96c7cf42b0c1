//! The curvature of small models against their whole Hessian in f64.

use loralab_core::{
    device::{Cpu, wait},
    lab::{Curvature, Probed, curvature},
};
use loralab_data::Batch;
use loralab_linalg::{Eigen, Mat, symmetric_eigen};

use crate::small::{SETTINGS, Subject, TRAIN, subjects};

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

fn probed(subject: &mut Subject, products: usize) -> Curvature {
    subject.shape.runs = 2;
    let plan = subject.tape().compile(TRAIN);
    let (trained, frozen_pairs) = (subject.trained(&plan), subject.frozen_pairs(&plan));
    let mut device = Cpu::<f32>::new(plan.into(), subject.base.clone(), Some(1));
    let input = subject.rows.input();
    let (tokens, targets, weights) = (input.tokens.to_vec(), input.targets.to_vec(), input.weights.to_vec());
    let batch = Batch { tokens, targets, weights, examples: vec![], counted: 0 };
    let probed = Probed {
        trained: &trained,
        frozen_pairs: &frozen_pairs,
        settings: SETTINGS,
        batches: std::slice::from_ref(&batch),
    };
    wait(curvature(&mut device, probed, products, 0)).expect("it is finite")
}

#[test]
fn sharpness_and_the_best_sign_step_are_those_of_the_whole_hessian() {
    // The decoders with adapters, without and with frozen pairs.
    for mut subject in subjects(1).into_iter().take(2) {
        let what = subject.what;
        let (exact, whole, gradient) = hessian(&subject);
        let found = probed(&mut subject, 40);
        let [largest, smallest] = [exact.values[0], exact.values[exact.values.len() - 1]];
        println!("{what}: {largest} and {smallest}, found {found:?}");
        assert!((found.largest.value / largest - 1.0).abs() < 2e-3, "{what}: {largest}, {found:?}");
        assert!((found.smallest.value / smallest - 1.0).abs() < 2e-2, "{what}: {smallest}, {found:?}");
        let norm = gradient.iter().map(|g| g * g).sum::<f64>().sqrt();
        assert!((found.gradient_norm / norm - 1.0).abs() < 1e-4, "{what}: {norm}");
        let signs: Vec<f64> = gradient.iter().map(|g| g.signum()).collect();
        let entries = (0..signs.len()).flat_map(|row| (0..signs.len()).map(move |column| (row, column)));
        let curved: f64 = entries.map(|(row, column)| signs[row] * whole[(row, column)] * signs[column]).sum();
        let best = gradient.iter().map(|g| g.abs()).sum::<f64>() / curved;
        match found.sign_step {
            Some(rate) => assert!((rate / best - 1.0).abs() < 2e-2, "{what}: {best}, {found:?}"),
            None => assert!(best < 0.0, "{what}: {best}"),
        }
        // Few products cannot know it, and say so.
        let early = probed(&mut subject, 3);
        assert!(early.largest.residual > 10.0 * found.largest.residual, "{what}: {early:?}");
    }
}
