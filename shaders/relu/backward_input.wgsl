// dx (+)= dy where x is positive, and 0 elsewhere, so also at 0 itself.

fn gradient(x: f32, dy: f32) -> f32 {
    return select(0.0, dy, x > 0.0);
}
