// δ (N, H) = Σ dy ∘ y over the features of each row and head, which both backward kernels need.
// Dao et al. 2022, arXiv 2205.14135, appendix B.4.

struct Params {
    // N · H.
    elements: u32,
    head_size: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> dy: array<f32>;
@group(0) @binding(3) var<storage, read_write> delta: array<f32>;

fn element(i: u32) {
    if i >= params.elements {
        return;
    }
    var sum = 0.0;
    for (var at = i * params.head_size; at < (i + 1u) * params.head_size; at++) {
        sum += dy[at] * y[at];
    }
    delta[i] = sum;
}
