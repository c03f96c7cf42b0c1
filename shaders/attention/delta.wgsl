// The sums that both backward kernels need of each row and head, (N, H, 2): the log-sum-exp of its scores, and δ = Σ dy ∘ y over its features.
// Dao et al. 2022, arXiv 2205.14135, appendix B.4.

struct Params {
    // N · H.
    elements: u32,
    head_size: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> y: array<f32>;
@group(0) @binding(2) var<storage, read> lse: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> sums: array<f32>;

fn element(i: u32) {
    if i >= params.elements {
        return;
    }
    var sum = 0.0;
    for (var at = i * params.head_size; at < (i + 1u) * params.head_size; at++) {
        sum += dy[at] * y[at];
    }
    sums[i * 2u] = lse[i];
    sums[i * 2u + 1u] = sum;
}
