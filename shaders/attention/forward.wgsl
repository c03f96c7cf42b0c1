// y (N, H·D) = softmax(scores) v for each sequence and head, over the keys that a query sees, and the log-sum-exp of the scores, lse (N, H),
// for the backward passes; both are 0 for a query that sees none. A score is q kᵀ · scale, capped if there is a cap. No T×T matrix: a running
// maximum and a running sum over the keys. Milakov and Gimelshein 2018, arXiv 1805.02867; Dao et al. 2022, arXiv 2205.14135.

@group(0) @binding(5) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;

fn put_one(at: u32, d: u32, value: f32) {
    if d < params.head_size {
        y[at + d] = value;
    }
}

fn of_query(query: Query, reach: Range, local: u32) {
    var features: array<vec4<f32>, 64>;
    var output: array<vec4<f32>, 64>;
    for (var c = 0u; c < VECTORS; c++) {
        features[c] = q_at(query.features, c);
        output[c] = vec4<f32>();
    }
    var largest = -3.4028234e38;
    var total = 0.0;
    let rows = rows_at_once();
    let tiles = tiles_of(reach);
    for (var tile = 0u; tile < tiles; tile++) {
        let first_key = reach.first + tile * rows;
        load_keys(query, first_key, local);
        for (var j = 0u; j < rows; j++) {
            if is_in(first_key + j, query.seen) {
                var sum = 0.0;
                for (var c = 0u; c < VECTORS; c++) {
                    sum += dot(features[c], keys[j * VECTORS + c]);
                }
                let score = score_of(sum);
                if score > largest {
                    let shrink = exp(largest - score);
                    total *= shrink;
                    for (var c = 0u; c < VECTORS; c++) {
                        output[c] *= shrink;
                    }
                    largest = score;
                }
                let p = exp(score - largest);
                total += p;
                for (var c = 0u; c < VECTORS; c++) {
                    output[c] += p * values[j * VECTORS + c];
                }
            }
        }
        workgroupBarrier();
    }
    if query.token < params.tokens {
        // The largest score's share of a total is 1, so one of 0 is of no key.
        let divisor = select(total, 1.0, total == 0.0);
        for (var c = 0u; c < VECTORS; c++) {
            put(query, c, output[c] / divisor);
        }
        lse[query.place] = select(largest + log(divisor), 0.0, total == 0.0);
    }
}
