//! Principal components that are found batch by batch, against the covariance of all rows in f64.

use loralab_core::{
    device::{MakeDevice, wait},
    lab::calibrate::{Finder, Incremental},
    lora::init::Components,
};
use loralab_linalg::{Eigen, Mat, Stream, from_rows, normal_matrix, symmetric_eigen, thin_qr, to_rows};

use super::data::on_each_device;

/// Rows of each batch: more than there is room for directions, as few as one, and none.
const BATCHES: [usize; 5] = [40, 9, 1, 0, 40];
const MOST: usize = 40;
const EPSILON: f64 = f32::EPSILON as f64;

/// Batches of rows whose variances fall by `fall`² from one direction to the next, about a mean that is larger than they are and moves.
fn batches(width: usize, fall: f64) -> Vec<Vec<f32>> {
    let axes = thin_qr(normal_matrix(&Stream::new(1, "axes"), width, width).as_ref()).q;
    let batch = |(index, rows): (usize, usize)| {
        let drawn = normal_matrix(&Stream::new(2, &format!("rows {index}")), rows, width);
        let scaled = Mat::from_fn(rows, width, |row, k| drawn[(row, k)] * fall.powi(k as i32));
        let mean = |column: usize| 3.0 + 0.5 * index as f64 * ((column % 3) as f64 - 1.0);
        let turned = scaled * axes.transpose();
        to_rows(Mat::from_fn(rows, width, |row, column| mean(column) + turned[(row, column)]).as_ref())
    };
    BATCHES.into_iter().enumerate().map(batch).collect()
}

fn find(batches: &[Vec<f32>], width: usize, asked: usize, make_device: MakeDevice<'_>) -> Components {
    let mut finder = wait(Finder::new(width, MOST, asked, make_device)).expect("a device");
    let mut incremental = Incremental::new(width);
    for batch in batches {
        wait(incremental.add(batch, &mut finder)).expect("a device");
    }
    incremental.found.expect("finite rows")
}

/// The mean of ‖x‖² over all rows, and the eigenvectors of their covariance.
fn exact(batches: &[Vec<f32>], width: usize) -> (usize, f64, Eigen) {
    let all = batches.concat();
    let rows = all.len() / width;
    let x = from_rows(&all, rows, width);
    let mean: Vec<f64> = (0..width).map(|j| (0..rows).map(|i| x[(i, j)]).sum::<f64>() / rows as f64).collect();
    let centred = Mat::from_fn(rows, width, |i, j| (x[(i, j)] - mean[j]) / (rows as f64).sqrt());
    let covariance = centred.transpose() * &centred;
    (rows, x.squared_norm_l2() / rows as f64, symmetric_eigen(covariance.as_ref()).expect("finite"))
}

/// The sine of the largest angle between the spans of some rows and some columns, both orthonormal.
fn sine(rows: &Mat<f64>, columns: &Mat<f64>, count: usize) -> f64 {
    let (rows, columns) = (rows.subrows(0, count), columns.subcols(0, count));
    (columns - rows.transpose() * (rows * columns)).norm_l2()
}

/// Every batch is rounded once, as f32, and each of the two products and the bases between them to a sum of as many terms as there are rows; the covariance
/// moves by twice that, the directions by that over the gap between eigenvalues (Davis and Kahan 1970).
#[test]
fn all_directions_of_narrow_rows_are_those_of_the_covariance() {
    on_each_device(|make_device| {
        for (width, asked) in [(1, 1), (7, 2), (33, 7), (24, 4)] {
            let batches = batches(width, 0.7);
            let found = find(&batches, width, asked, make_device);
            let (rows, power, Eigen { values, vectors }) = exact(&batches, width);
            let variance: f64 = values.iter().sum();
            let terms = (width + MOST + 1) as f64 + 2.0;
            let allowed = BATCHES.len() as f64 * 4.0 * terms * (width as f64).sqrt() * EPSILON * variance;
            let what = format!("{asked} of {width}");
            assert_eq!((found.rows, found.values.len()), (rows, width), "{what}");
            assert!((found.variance / variance - 1.0).abs() < 1e-6, "{what}: {} and {variance}", found.variance);
            assert!((found.power / power - 1.0).abs() < 1e-6, "{what}: {} and {power}", found.power);
            for (k, (found, value)) in found.values.iter().zip(&values).enumerate() {
                assert!(
                    (found - value).abs() <= allowed,
                    "{what}, variance {k}: {found} and {value}, {allowed:e} may be"
                );
            }
            if width > 2 {
                let (turned, gap) = (sine(&found.directions, &vectors, 2), values[1] - values[2]);
                println!("{what}: turned by {turned:e}, {:e} may be", allowed / gap);
                assert!(turned <= allowed / gap, "{what}: turned by {turned:e}, {:e} may be", allowed / gap);
            }
        }
    });
}

/// A decomposition that is cut off loses, of a batch and what was carried, at most ε² in any direction, where ε is how far the range that was found is off: of
/// a range of ℓ = j + p columns and q iterations at most (1 + √(j/(p − 1)) + e √ℓ/p √(n − j))^(1/(2q + 1)) σⱼ₊₁ in expectation (Halko, Martinsson and
/// Tropp 2011, arXiv 0909.4061, corollary 10.10), whatever j. No σⱼ₊₁² is larger than that of the scatter of all rows. Nothing is ever added, but for rounding.
#[test]
fn the_leading_directions_of_wide_rows_lose_what_lies_beyond_those_that_are_carried() {
    on_each_device(|make_device| {
        for (fall, width, asked) in [(0.4, 131, 4), (0.7, 131, 9), (0.8, 300, 12)] {
            let batches = batches(width, fall);
            let found = find(&batches, width, asked, make_device);
            let (_, power, Eigen { values, vectors }) = exact(&batches, width);
            let variance: f64 = values.iter().sum();
            let (carried, rows) = (2 * asked, 2 * asked + MOST + 1);
            assert_eq!(found.values.len(), carried);
            assert!((found.variance / variance - 1.0).abs() < 1e-6 && (found.power / power - 1.0).abs() < 1e-6);
            let beyond = |j: usize| {
                let (p, sum) = ((carried - j) as f64, j as f64 / (carried - j - 1) as f64);
                let tail = std::f64::consts::E * (carried as f64).sqrt() / p * ((rows.min(width) - j) as f64).sqrt();
                (1.0 + sum.sqrt() + tail).powf(2.0 / 5.0) * values[j]
            };
            let lost = BATCHES.len() as f64 * (1..carried - 1).map(beyond).fold(f64::INFINITY, f64::min);
            let rounding = BATCHES.len() as f64 * 20.0 * rows as f64 * EPSILON * variance;
            let what = format!("fall {fall}, {asked} of {width}");
            for (k, (found, value)) in found.values.iter().zip(&values).take(asked).enumerate() {
                assert!(*found <= value + rounding, "{what}, variance {k}: {found} of {value}");
                assert!(
                    *found >= value - lost - rounding,
                    "{what}, variance {k}: {found} of {value}, {lost:e} may be lost"
                );
            }
            let turned = sine(&found.directions, &vectors, 2);
            let allowed = (lost + rounding) / (values[1] - values[2]);
            println!("{what}: lost {lost:e} at most, first two turned by {turned:e}, {allowed:e} may be");
            assert!(turned <= allowed, "{what}: turned by {turned:e}, {allowed:e} may be");
        }
    });
}

/// Each batch improves the directions found before: the same batches again and again lead to the directions of their covariance.
#[test]
fn every_batch_brings_the_directions_closer() {
    on_each_device(|make_device| {
        let (width, asked) = (131, 6);
        let batches = batches(width, 0.9);
        let (_, _, Eigen { vectors, .. }) = exact(&batches, width);
        let off = |times: usize| {
            let again: Vec<Vec<f32>> = (0..times).flat_map(|_| batches.clone()).collect();
            sine(&find(&again, width, asked, make_device).directions, &vectors, 2)
        };
        let [once, often] = [1, 6].map(off);
        println!("off by {once:e}, then by {often:e}");
        assert!(often < once / 2.0, "{once:e}, then {often:e}");
    });
}

#[test]
fn rows_that_are_alike_have_no_direction_and_those_that_are_not_finite_none_that_is_known() {
    on_each_device(|make_device| {
        let alike = vec![0.3; 5 * 40];
        let found = find(&[alike.clone(), alike], 40, 2, make_device);
        assert!(found.variance.abs() < 1e-12 * found.power, "{} of {}", found.variance, found.power);
        assert!(found.directions.norm_max() < 1e-3 || found.values.iter().all(|value| *value < 1e-12 * found.power));
        let mut finder = wait(Finder::new(40, MOST, 2, make_device)).expect("a device");
        let mut incremental = Incremental::new(40);
        wait(incremental.add(&[f32::NAN; 80], &mut finder)).expect("a device");
        assert!(incremental.found.is_err());
    });
}
