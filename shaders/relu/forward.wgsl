// y = x where x is positive or NaN, and 0 elsewhere.

struct Params {
    elements: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

fn element(i: u32) {
    if i < params.elements {
        // Not max(): of a NaN it may make 0, and a run's divergence would go unseen.
        let value = x[i];
        y[i] = select(value, 0.0, value <= 0.0);
    }
}
