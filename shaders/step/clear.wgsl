// Sets the gradients of every run to zero, since backward passes add to them.

struct Params {
    elements: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read_write> gradients: array<f32>;

fn element(i: u32) {
    if i < params.elements {
        gradients[i] = 0.0;
    }
}
