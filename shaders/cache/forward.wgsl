// cache (B·C, I) ← x (N, I): each row goes to the row that its sequence has for its position. The others stay as they are.

struct Params {
    // N · I.
    elements: u32,
    // T of a sequence in this call.
    tokens: u32,
    // C.
    context: u32,
    // I.
    columns: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> positions: array<u32>;
@group(0) @binding(3) var<storage, read_write> cache: array<f32>;

fn element(i: u32) {
    if i >= params.elements {
        return;
    }
    let row = i / params.columns;
    let position = positions[row];
    if position < params.context {
        let place = row / params.tokens * params.context + position;
        cache[place * params.columns + i % params.columns] = x[i];
    }
}
