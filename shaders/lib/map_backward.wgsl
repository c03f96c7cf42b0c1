// dx (+)= gradient(x, dy), element by element. The kernel defines `gradient(x, dy)`.

struct Params {
    elements: u32,
    // 1 adds to what dx holds, 0 overwrites it.
    add: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;

fn element(i: u32) {
    if i < params.elements {
        let change = gradient(x[i], dy[i]);
        if params.add == 1u {
            dx[i] += change;
        } else {
            dx[i] = change;
        }
    }
}
