//! The position of the minimum of a curve that is known at a few points, and the range in which the minimum may be.
//!
//! Three parabolas are fitted: through the lowest point and those on both sides, and through it and those on either side alone. If the curve is a parabola
//! they agree. If it bends more on one side, as a loss does towards rates that diverge, they differ, and the true minimum lies between theirs: their
//! distance measures the uncertainty from the grid. A side with too few points, with a gap or with a point at which the curve has no value shows only
//! that the curve rises to its first point, so the minimum may be anywhere up to it. Beyond the first and last points nothing is known.

use std::f64::consts::LN_2;

/// The estimated minimum of a curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Valley {
    /// Minimum of the parabola through the lowest point and its neighbours.
    pub x: f64,
    /// Range in which the minimum may be, given the points. An end beyond the first or last point means that there is no bound on that side.
    pub bracket: [f64; 2],
    /// Index of the lowest point.
    pub place: usize,
}

/// Largest distance from the lowest point at which others take part in the fit: a doubling of the quantity whose logarithm x is, and a margin for rounded
/// numbers. Points further apart than this leave a gap.
const REACH: f64 = 1.02 * LN_2;

/// The minimum of a curve through `points` (x, y) with increasing x: that of the parabola through the lowest point and those up to a doubling away, as many on
/// one side as on the other and at least one; the x of the lowest point if that is the first or last. The result is at most half way to the farthest fitted
/// point on its side. An infinite y means that the curve has no value there. `None` without a finite y.
///
/// Points further away are excluded: a valley is flat on one side and steep on the other, and they would shift the result to the flat side. More than three
/// points are used on a fine grid, where three differ by little more than noise.
/// Intended for logarithms: of learning rates in x, of losses in y.
pub fn valley(points: &[(f64, f64)]) -> Option<Valley> {
    let finite = (0..points.len()).filter(|&at| points[at].1.is_finite());
    let place = finite.min_by(|&one, &other| points[one].1.total_cmp(&points[other].1))?;
    let x = points[place].0;
    // Number of points on each side without a gap, from the lowest outwards.
    let gapless = |at: usize, inner: usize| points[at].1.is_finite() && (points[at].0 - points[inner].0).abs() <= REACH;
    let sides = [
        (0..place).rev().take_while(|&at| gapless(at, at + 1)).count(),
        (place + 1..points.len()).take_while(|&at| gapless(at, at - 1)).count(),
    ];
    let near = |at: &usize| points[*at].1.is_finite() && (points[*at].0 - x).abs() <= REACH;
    let (left, right) = ((0..place).rev().take_while(near).count(), (place + 1..points.len()).take_while(near).count());
    let beside = left.min(right).max(1);
    let neighbours = [place.checked_sub(1), Some(place + 1).filter(|&at| at < points.len())];
    let both = neighbours.iter().all(|at| at.is_some_and(|at| points[at].1.is_finite()));
    let fitted = |first: usize, last: usize| lowest(&points[first..=last], x);
    let middle = if both {
        let [first, last] = [place - beside, place + beside];
        let [left, right] = [points[first].0 - x, points[last].0 - x].map(|reach| reach / 2.0);
        fitted(first, last).map_or(x, |found| found.clamp(x + left, x + right))
    } else {
        x
    };
    // If a side does not bend upwards, its parabola has no minimum: the curve may fall up to the limit beyond the lowest point.
    let outer = [
        (sides[0] > 1).then(|| fitted(place - sides[0].min(2 * beside), place).unwrap_or(f64::INFINITY)),
        (sides[1] > 1).then(|| fitted(place, place + sides[1].min(2 * beside)).unwrap_or(f64::NEG_INFINITY)),
    ];
    // A side without a fit may hide a cliff, from which the curve rises: the minimum may be the lowest point itself.
    let unknown = outer.iter().any(Option::is_none).then_some(x);
    let fits = || outer.iter().flatten().copied().chain([middle]).chain(unknown);
    let farthest =
        |at: Option<usize>, step: isize| at.map(|at| points[at.saturating_add_signed(step * (beside as isize - 1))].0);
    let limits = [farthest(neighbours[0], -1), farthest(neighbours[1], 1)];
    // Behind a cliff a side bends downwards; then only the other side's fit, if there is one, can bound the minimum.
    let tells = |side: usize| outer[side].is_some_and(|fit| fit.is_finite() || outer[1 - side].is_some());
    let step = |side: usize| neighbours[side].map_or(LN_2, |at| (points[at].0 - x).abs());
    let low = match (neighbours[0], limits[0]) {
        (Some(_), Some(limit)) if tells(0) => fits().fold(f64::INFINITY, f64::min).max(limit),
        (Some(at), _) => points[at].0,
        (None, _) => x - step(1),
    };
    let high = match (neighbours[1], limits[1]) {
        (Some(_), Some(limit)) if tells(1) => fits().fold(f64::NEG_INFINITY, f64::max).min(limit),
        (Some(at), _) => points[at].0,
        (None, _) => x + step(0),
    };
    Some(Valley { x: middle, bracket: [low.min(middle), high.max(middle)], place })
}

/// Minimum of the least-squares parabola through points; `None` if it has none. `origin` is near their middle.
fn lowest(points: &[(f64, f64)], origin: f64) -> Option<f64> {
    let scale = points.iter().map(|(x, _)| (x - origin).abs()).fold(0.0, f64::max);
    let place = |x: f64| (x - origin) / scale;
    // The normal equations of c₀ + c₁u + c₂u².
    let moment = |power: i32| points.iter().map(|&(x, _)| place(x).powi(power)).sum::<f64>();
    let product = |power: i32| points.iter().map(|&(x, y)| place(x).powi(power) * y).sum::<f64>();
    let m = [0, 1, 2, 3, 4].map(moment);
    let p = [0, 1, 2].map(product);
    let det = |a: [f64; 3], b: [f64; 3], c: [f64; 3]| {
        a[0] * (b[1] * c[2] - b[2] * c[1]) - b[0] * (a[1] * c[2] - a[2] * c[1]) + c[0] * (a[1] * b[2] - a[2] * b[1])
    };
    let (zero, one, two) = ([m[0], m[1], m[2]], [m[1], m[2], m[3]], [m[2], m[3], m[4]]);
    let all = det(zero, one, two);
    let (c1, c2) = (det(zero, p, two) / all, det(zero, one, p) / all);
    (c2 > 0.0 && c1.is_finite()).then(|| origin - scale * c1 / (2.0 * c2))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(xs: &[f64], y: impl Fn(f64) -> f64) -> Vec<(f64, f64)> {
        xs.iter().map(|&x| (x, y(x))).collect()
    }

    #[test]
    fn a_parabola_gives_its_own_lowest_place() {
        for middle in [2.6, 3.0, 3.4] {
            let points = curve(&[0.0, 1.0, 2.0, 3.0, 4.0, 5.0], |x| 0.1 * (x - middle).powi(2) + 7.0);
            let valley = valley(&points).expect("there are points");
            assert!((valley.x - middle).abs() < 1e-12, "{valley:?}");
            assert_eq!(valley.place, 3);
        }
        // Uneven spacing, far from 0.
        let points = curve(&[100.0, 100.7, 101.0, 102.0], |x| (x - 100.9).powi(2));
        assert!((valley(&points).expect("there are points").x - 100.9).abs() < 1e-9);
    }

    /// A valley with a flat left side that ends at a cliff; its minimum is at 3.
    #[test]
    fn the_gentle_side_does_not_draw_it() {
        let near = [(1.0, 0.4), (2.0, 0.2), (3.0, 0.0), (4.0, 0.2), (5.0, 2.0)];
        assert!((valley(&near).expect("there are points").x - 3.0).abs() < 1e-12);
    }

    #[test]
    fn a_cliff_moves_it_by_no_more_than_half_a_step() {
        let points = [(0.0, 0.3), (1.0, 0.1), (2.0, 0.0), (3.0, 9.0), (4.0, 12.0)];
        let valley = valley(&points).expect("there are points");
        assert!((1.5..2.0).contains(&valley.x), "{valley:?}");
    }

    #[test]
    fn ends_flats_and_nothing() {
        let at = |points: &[(f64, f64)]| valley(points).map(|valley| (valley.x, valley.place));
        assert_eq!(at(&[(0.0, 1.0), (1.0, 0.0)]), Some((1.0, 1)));
        assert_eq!(at(&[(0.0, 0.0), (1.0, 1.0), (2.0, 2.0)]), Some((0.0, 0)));
        assert_eq!(at(&[(0.0, 1.0), (1.0, 1.0), (2.0, 1.0)]), Some((0.0, 0)));
        assert_eq!(at(&[]), None);
    }

    /// With a gap before the last point: a parabola through points far apart would give a narrow range around a wrong minimum.
    #[test]
    fn a_gap_leaves_the_place_open_up_to_its_end() {
        // The curve falls until a cliff at 3.5; the next point after 3 is far behind it.
        let points = curve(&[0.0, 1.0, 2.0, 3.0, 7.0].map(|x| x * LN_2), |x| if x > 3.5 * LN_2 { 2.0 } else { -x });
        let Valley { bracket: [low, high], place, .. } = valley(&points).expect("there are points");
        assert_eq!((place, high), (3, 7.0 * LN_2));
        assert!(low <= 3.0 * LN_2);
    }

    #[test]
    fn one_parabola_leaves_nothing_open_and_two_halves_what_is_between_them() {
        for middle in [2.6, 3.0, 3.4] {
            let one = |x: f64| 0.1 * (x - middle * LN_2).powi(2);
            let grid = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0].map(|x| x * LN_2);
            let [low, high] = valley(&curve(&grid, one)).expect("there are points").bracket;
            assert!(high - low < 1e-9 && (low / LN_2 - middle).abs() < 1e-9, "{low} {high}");
            // Three times as steep on the right: the middle parabola is up to a quarter of a step off.
            let two = |x: f64| one(x) * if x > middle * LN_2 { 3.0 } else { 1.0 };
            let Valley { x, bracket: [low, high], .. } = valley(&curve(&grid, two)).expect("there are points");
            assert!(low <= x && x <= high && low < middle * LN_2 + 1e-9 && middle * LN_2 < high + 1e-9, "{low} {high}");
            assert!(high - low < 0.35 * LN_2, "{low} {high}");
        }
    }

    #[test]
    fn beyond_an_end_and_at_a_point_without_a_value() {
        let steps =
            |ys: &[f64]| -> Vec<(f64, f64)> { ys.iter().enumerate().map(|(k, y)| (k as f64 * LN_2, *y)).collect() };
        let round = |end: f64| (end / LN_2 * 1e9).round() / 1e9;
        let bracket = |ys: &[f64]| valley(&steps(ys)).expect("there are points").bracket.map(round);
        // Falling up to the last point: the minimum may be beyond it.
        let [low, high] = bracket(&[3.0, 2.0, 1.2, 0.8]);
        assert!((2.0..=3.0).contains(&low) && high == 4.0, "{low} {high}");
        let [low, high] = bracket(&[0.8, 1.2, 2.0, 3.0]);
        assert!((0.0..=1.0).contains(&high) && low == -1.0, "{low} {high}");
        // A point without a value acts as an end.
        let [low, high] = bracket(&[3.0, 2.0, 1.2, 0.8, f64::INFINITY, f64::INFINITY]);
        assert!(low > 2.0 && high == 4.0, "{low} {high}");
        // Points behind a cliff that follows the first point give no information.
        let [low, high] = bracket(&[0.8, 3.0, 3.0, 3.0]);
        assert_eq!([low, high], [-1.0, 1.0]);
        assert_eq!(valley(&steps(&[f64::INFINITY, f64::NAN])), None);
    }

    #[test]
    fn on_a_fine_grid_all_points_within_a_doubling_are_fitted() {
        // A parabola in steps of a quarter of a doubling, with noise that would determine a fit of only three points.
        let step = LN_2 / 4.0;
        let points: Vec<(f64, f64)> = (0..24)
            .map(|k| (f64::from(k) * step, 0.1 * (f64::from(k) * step - 2.0).powi(2) + 1e-3 * f64::from(k * 7 % 5)))
            .collect();
        let found = valley(&points).expect("there are points");
        assert!((found.x - 2.0).abs() < 0.03, "{found:?}");
        assert!(
            (lowest(&points[found.place - 1..=found.place + 1], points[found.place].0).expect("it is a valley") - 2.0)
                .abs()
                > 0.05
        );
    }

    #[test]
    fn it_never_leaves_the_neighbours_of_the_lowest_point() {
        // The minimum of the wider parabola would be left of 1.
        let points = [(0.0, 0.05), (1.0, 0.04), (2.0, 0.0), (3.0, 0.69), (4.0, 5.0)];
        let valley = valley(&points).expect("there are points");
        assert!((1.0..=3.0).contains(&valley.x), "{valley:?}");
    }
}
