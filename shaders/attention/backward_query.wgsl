// dq (N, H·D) (+)= scale · ds k, with p = exp(s − lse), the probabilities again, and ds = p ∘ (dy vᵀ − δ), times the cap's derivative if there is a
// cap; lse and δ come from `delta`. Dao et al. 2022, arXiv 2205.14135, appendix B.4.
//
// dk and dv are the other kernel's, so nothing is added by two at once.

@group(0) @binding(7) var<storage, read_write> dq: array<f32>;

fn put_one(at: u32, d: u32, value: f32) {
    if d < params.head_size {
        if params.add == 1u {
            dq[at + d] += value;
        } else {
            dq[at + d] = value;
        }
    }
}

fn of_query(query: Query, reach: Range, local: u32) {
    var features: array<vec4<f32>, 64>;
    var gradient: array<vec4<f32>, 64>;
    var output: array<vec4<f32>, 64>;
    for (var c = 0u; c < VECTORS; c++) {
        features[c] = q_at(query.features, c);
        gradient[c] = dy_at(query.features, c);
        output[c] = vec4<f32>();
    }
    let log_sum = sums[query.place * 2u];
    let across = sums[query.place * 2u + 1u];
    let rows = rows_at_once();
    let tiles = tiles_of(reach);
    for (var tile = 0u; tile < tiles; tile++) {
        let first_key = reach.first + tile * rows;
        load_keys(query, first_key, local);
        for (var j = 0u; j < rows; j++) {
            if is_in(first_key + j, query.seen) {
                var dp = 0.0;
                var sum = 0.0;
                for (var c = 0u; c < VECTORS; c++) {
                    sum += dot(features[c], keys[j * VECTORS + c]);
                    dp += dot(gradient[c], values[j * VECTORS + c]);
                }
                let score = score_of(sum);
                let ds = exp(score - log_sum) * (dp - across) * slope(score);
                for (var c = 0u; c < VECTORS; c++) {
                    output[c] += ds * keys[j * VECTORS + c];
                }
            }
        }
        workgroupBarrier();
    }
    if query.token < params.tokens {
        for (var c = 0u; c < VECTORS; c++) {
            put(query, c, output[c] * params.scale);
        }
    }
}
