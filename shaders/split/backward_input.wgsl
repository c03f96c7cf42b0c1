// dx (+)= dy in the columns of one part.

struct Params {
    elements: u32,
    // Columns of dx and of dy.
    wide: u32,
    columns: u32,
    // The part's first column in dx.
    first: u32,
    // 1 adds to what dx holds, 0 overwrites it.
    add: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;

fn element(i: u32) {
    if i < params.elements {
        let at = i / params.columns * params.wide + params.first + i % params.columns;
        if params.add == 1u {
            dx[at] += dy[i];
        } else {
            dx[at] = dy[i];
        }
    }
}
