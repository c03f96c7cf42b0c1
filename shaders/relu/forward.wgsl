// y = x where x is positive or NaN, and 0 elsewhere.

fn value(x: f32) -> f32 {
    // Not max(): of a NaN it may make 0, and a run's divergence would go unseen.
    return select(x, 0.0, x <= 0.0);
}
