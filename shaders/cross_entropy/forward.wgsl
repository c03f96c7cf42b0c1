// The loss of each row of logits (N, V), and whether its prediction is right. One workgroup a row.
//
// lse = ln Σ exp(logit), relative to the row's maximum so that nothing overflows; row_loss = weight · (lse − logit[target]);
// correct = 1 where the largest logit, the first of equals, is the target's, else 0. A row of weight 0 gets lse 0, row_loss 0 and
// correct 1 by selection: 0 · NaN would be NaN.

struct Params {
    rows: u32,
    vocabulary: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
@group(0) @binding(4) var<storage, read_write> row_loss: array<f32>;
@group(0) @binding(5) var<storage, read_write> lse: array<f32>;
@group(0) @binding(6) var<storage, read_write> correct: array<f32>;

// The number of logits before the target's that are not less than it: as large, larger or NaN.
var<workgroup> earlier: array<u32, 64>;
var<workgroup> earlier_eighths: array<u32, 8>;

fn of_row(row: u32, local: u32) {
    let start = row * params.vocabulary;
    // Some row of the table is read even where the row does not count; what comes of it is not kept.
    let target_token = min(targets[row], params.vocabulary - 1u);
    let score = logits[start + target_token];

    var largest = score;
    var before = 0u;
    for (var i = local; i < params.vocabulary; i += 64u) {
        let logit = logits[start + i];
        largest = select(largest, logit, logit > largest);
        before += select(0u, 1u, i < target_token && !(logit < score));
    }
    shares[local] = largest;
    earlier[local] = before;
    workgroupBarrier();
    if local < 8u {
        var count = 0u;
        for (var i = 0u; i < 8u; i++) {
            let other = shares[local * 8u + i];
            largest = select(largest, other, other > largest);
            count += earlier[local * 8u + i];
        }
        eighths[local] = largest;
        earlier_eighths[local] = count;
    }
    workgroupBarrier();
    var in_all = 0u;
    for (var i = 0u; i < 8u; i++) {
        largest = select(largest, eighths[i], eighths[i] > largest);
        in_all += earlier_eighths[i];
    }
    let first = in_all == 0u;

    var sum = 0.0;
    for (var i = local; i < params.vocabulary; i += 64u) {
        sum += exp(logits[start + i] - largest);
    }
    let in_row = total(local, sum);
    if local == 0u {
        let counts = weights[row] != 0.0;
        let log_sum = largest + log(in_row);
        lse[row] = select(0.0, log_sum, counts);
        row_loss[row] = select(0.0, weights[row] * (log_sum - score), counts);
        correct[row] = select(1.0, select(0.0, 1.0, score == largest && first), counts);
    }
}
