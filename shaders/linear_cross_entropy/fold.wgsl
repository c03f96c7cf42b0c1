// Folds the products of a chunk of the vocabulary into what is known of each row. One workgroup a row.
//
// The first chunk begins a row; after the last, lse = ln Σ exp(logit), relative to the row's maximum so that nothing overflows;
// row_loss = weight · (lse − logit[target]); correct = 1 where the largest logit, the first of equals, is the target's, else 0. A
// row of weight 0 gets lse 0, row_loss 0 and correct 1 by selection: 0 · NaN would be NaN.

struct Params {
    rows: u32,
    // The first token of the chunk, and how many it has.
    first: u32,
    count: u32,
    // True if the chunk is the last.
    last: u32,
    // The cap of the logits; 0 for none.
    cap: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> logits: array<f32>;
@group(0) @binding(2) var<storage, read> targets: array<u32>;
@group(0) @binding(3) var<storage, read> weights: array<f32>;
// Four a row: the largest logit so far, its token, the sum of exponentials relative to it, the target's logit.
@group(0) @binding(4) var<storage, read_write> state: array<f32>;
@group(0) @binding(5) var<storage, read_write> row_loss: array<f32>;
@group(0) @binding(6) var<storage, read_write> lse: array<f32>;
@group(0) @binding(7) var<storage, read_write> correct: array<f32>;

// The tokens of the invocations' largest logits, and of the largest of each eight.
var<workgroup> places: array<u32, 64>;
var<workgroup> place_eighths: array<u32, 8>;

// A logit and where it stands in the chunk.
struct Best {
    logit: f32,
    place: u32,
}

// The larger of two; of equals the one that stands first.
fn better(one: Best, other: Best) -> Best {
    let takes = other.logit > one.logit || (other.logit == one.logit && other.place < one.place);
    return Best(select(one.logit, other.logit, takes), select(one.place, other.place, takes));
}

// The largest of all invocations' logits.
fn best_of_all(local: u32, own: Best) -> Best {
    shares[local] = own.logit;
    places[local] = own.place;
    workgroupBarrier();
    if local < 8u {
        var eighth = Best(shares[local * 8u], places[local * 8u]);
        for (var i = 1u; i < 8u; i++) {
            eighth = better(eighth, Best(shares[local * 8u + i], places[local * 8u + i]));
        }
        eighths[local] = eighth.logit;
        place_eighths[local] = eighth.place;
    }
    workgroupBarrier();
    var best = Best(eighths[0], place_eighths[0]);
    for (var i = 1u; i < 8u; i++) {
        best = better(best, Best(eighths[i], place_eighths[i]));
    }
    return best;
}

fn of_row(row: u32, local: u32) {
    let start = row * params.count;
    let at = row * 4u;
    // An invocation beyond the chunk has its last logit again, which changes neither the largest nor the first of equals.
    let own = min(local, params.count - 1u);
    var here = Best(capped(logits[start + own]), own);
    for (var i = local + 64u; i < params.count; i += 64u) {
        here = better(here, Best(capped(logits[start + i]), i));
    }
    here = best_of_all(local, here);

    let begins = params.first == 0u;
    // Read by all before one of them writes; on the first chunk what lies there is nothing.
    let before = state[at];
    let leads = begins || here.logit > before;
    let largest = select(before, here.logit, leads);
    let best = select(state[at + 1u], f32(params.first + here.place), leads);
    let carried = select(state[at + 2u] * select(1.0, exp(before - largest), leads), 0.0, begins);

    var sum = 0.0;
    for (var i = local; i < params.count; i += 64u) {
        sum += exp(capped(logits[start + i]) - largest);
    }
    let in_all = carried + total(local, sum);
    storageBarrier();
    if local == 0u {
        let target_token = targets[row];
        // The difference wraps to a large number if the target stands before the chunk.
        let inside = target_token - params.first < params.count;
        // Some logit is read even where the target is in another chunk; it is not kept.
        let found = capped(logits[start + select(0u, target_token - params.first, inside)]);
        let score = select(state[at + 3u], found, inside);
        state[at] = largest;
        state[at + 1u] = best;
        state[at + 2u] = in_all;
        state[at + 3u] = score;
        if params.last == 1u {
            let counts = weights[row] != 0.0;
            let log_sum = largest + log(in_all);
            lse[row] = select(0.0, log_sum, counts);
            row_loss[row] = select(0.0, weights[row] * (log_sum - score), counts);
            correct[row] = select(1.0, select(0.0, 1.0, best == f32(target_token)), counts);
        }
    }
}
