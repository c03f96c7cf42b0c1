// dx (+)= dy · (1 − t²) with t = y / cap, element by element.

struct Params {
    elements: u32,
    // 1 adds to what dx holds, 0 overwrites it.
    add: u32,
    cap: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

fn element(i: u32) {
    if i < params.elements {
        let t = y[i] / params.cap;
        let gradient = dy[i] * ((1.0 - t) * (1.0 + t));
        if params.add == 1u {
            dx[i] += gradient;
        } else {
            dx[i] = gradient;
        }
    }
}
