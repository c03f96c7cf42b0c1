//! The lowest place of a curve that was tried at a few points.

/// Where a curve is lowest.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Valley {
    /// Where the fitted parabola is lowest.
    pub x: f64,
    /// The lowest of the points, by its place among them.
    pub place: usize,
}

/// How far from the lowest point others take part in the fit: a doubling of what x is the logarithm of, and a little for rounded numbers.
const REACH: f64 = 1.02 * std::f64::consts::LN_2;

/// The lowest place of a curve through `points` (x, y) of rising x: that of the parabola through the lowest point and those up to a doubling away, as many on
/// one side as on the other and at least one; x itself where the lowest point is the first or last. It lies no more than half way to the nearest
/// neighbour or, where those are closer than that, half a doubling away. None without points.
///
/// Points further off take no part: a valley falls gently to one side and steeply to the other, and they would draw the result to the gentle one. Nearer
/// ones do: on a fine grid, three points differ by little more than noise.
/// Meant for logarithms: of learning rates in x, of losses in y.
pub fn valley(points: &[(f64, f64)]) -> Option<Valley> {
    let place = (0..points.len()).min_by(|&one, &other| points[one].1.total_cmp(&points[other].1))?;
    let x = points[place].0;
    if place == 0 || place + 1 == points.len() {
        return Some(Valley { x, place });
    }
    let near = |at: &usize| (points[*at].0 - x).abs() <= REACH;
    let (left, right) = ((0..place).rev().take_while(near).count(), (place + 1..points.len()).take_while(near).count());
    let beside = left.min(right).max(1);
    let fitted = &points[place - beside..=place + beside];
    let [left, right] = [fitted[0].0 - x, fitted[2 * beside].0 - x].map(|reach| reach / 2.0);
    let found = lowest(fitted, x).map_or(x, |found| found.clamp(x + left, x + right));
    Some(Valley { x: found, place })
}

/// Where the least-squares parabola through points is lowest; none if it has no lowest place. `origin` is near their middle.
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
        // Uneven distances, far from 0.
        let points = curve(&[100.0, 100.7, 101.0, 102.0], |x| (x - 100.9).powi(2));
        assert!((valley(&points).expect("there are points").x - 100.9).abs() < 1e-9);
    }

    /// A valley that falls gently from the left and ends at a cliff; it is lowest at 3.
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

    #[test]
    fn on_a_fine_grid_all_points_within_a_doubling_are_fitted() {
        // A parabola on quarters of a doubling, with noise that three points alone would take for the valley.
        let step = std::f64::consts::LN_2 / 4.0;
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
        // The wider parabola would be lowest left of 1.
        let points = [(0.0, 0.05), (1.0, 0.04), (2.0, 0.0), (3.0, 0.69), (4.0, 5.0)];
        let valley = valley(&points).expect("there are points");
        assert!((1.0..=3.0).contains(&valley.x), "{valley:?}");
    }
}
