// The parts that all kernels of attention share: q, k and v, read in vectors of four features; the rows that see each other; and their scores.

struct Params {
    tokens: u32,
    // Keys of a sequence: as many as tokens, or the positions of a cache.
    keys: u32,
    heads: u32,
    // Query head h uses key head h / (heads / kv_heads).
    kv_heads: u32,
    // At most 256.
    head_size: u32,
    // A query sees a key less than `before` tokens before it, or less than `after` after it: both from 1, which is itself only, to `keys`.
    before: u32,
    after: u32,
    // A score is q kᵀ · scale, and then cap · tanh(score / cap) if it is capped.
    scale: f32,
    cap: f32,
    // 1 adds to what an output holds, 0 overwrites it: dq or dk, and dv. The forward pass overwrites.
    add: u32,
    add_value: u32,
}

@group(0) @binding(0) var<uniform> params: Params;

// Vectors of a head's features, D / 4 rounded up; a constant, so that the features stay in registers.
override VECTORS: u32 = 1u;
// 1 if rows see those of their own segment only, whose limits are bound then; otherwise a sequence is one segment.
override SEGMENTS: u32 = 0u;
// 1 if keys and values lie in a cache, and `limits` holds the position of each row: it sees the keys up to there.
override CACHED: u32 = 0u;
// 1 if scores are capped.
override CAPPED: u32 = 0u;

@group(0) @binding(1) var<storage, read> q: array<f32>;
@group(0) @binding(2) var<storage, read> k: array<f32>;
@group(0) @binding(3) var<storage, read> v: array<f32>;
// For each row, the first token of its segment and the one after its last; or its position.
@group(0) @binding(4) var<storage, read> limits: array<u32>;

// Tokens of a sequence from the first up to the end, which is not one of them.
struct Range {
    first: u32,
    end: u32,
}

// The segment of the row that is `token` of the sequence beginning at `first_row`; empty if it is padding.
fn segment(first_row: u32, token: u32) -> Range {
    if SEGMENTS == 0u {
        return Range(0u, params.tokens);
    }
    let row = first_row + token;
    return Range(limits[row * 2u], limits[row * 2u + 1u]);
}

// The keys that a query sees. Neither their first nor their end decreases from one query to the next.
fn keys_of(first_row: u32, query: u32) -> Range {
    if CACHED == 1u {
        let end = limits[first_row + query] + 1u;
        return Range(end - min(params.before, end), end);
    }
    let own = segment(first_row, query);
    return Range(max(own.first, query + 1u - min(params.before, query + 1u)), min(own.end, query + params.after));
}

// The queries that see a key, likewise.
fn queries_of(first_row: u32, key: u32) -> Range {
    let own = segment(first_row, key);
    return Range(max(own.first, key + 1u - min(params.after, key + 1u)), min(own.end, key + params.before));
}

fn is_in(token: u32, range: Range) -> bool {
    return token >= range.first && token < range.end;
}

// Rows of which workgroup memory holds the features at a time: 512 vectors.
fn rows_at_once() -> u32 {
    return select(16u, 8u, VECTORS > 32u);
}

// Times that it is filled for as many rows; none if the end is not after the first.
fn tiles_of(rows: Range) -> u32 {
    return (max(rows.end, rows.first) - rows.first + rows_at_once() - 1u) / rows_at_once();
}

// The score of the sum of a query's and a key's features.
fn score_of(sum: f32) -> f32 {
    let score = sum * params.scale;
    if CAPPED == 0u {
        return score;
    }
    return params.cap * hyperbolic_tangent(score / params.cap);
}

// The derivative of the cap where the capped score is this.
fn slope(score: f32) -> f32 {
    if CAPPED == 0u {
        return 1.0;
    }
    let tangent = score / params.cap;
    return 1.0 - tangent * tangent;
}

// The indices of four features of the row that begins at `at`; features past the last one get its index.
fn features_from(at: u32, vector: u32) -> vec4<u32> {
    return at + min(vector * 4u + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(params.head_size - 1u));
}

// True for each of the four features that exists.
fn there(vector: u32) -> vec4<bool> {
    return vector * 4u + vec4<u32>(0u, 1u, 2u, 3u) < vec4<u32>(params.head_size);
}

fn q_at(at: u32, vector: u32) -> vec4<f32> {
    let i = features_from(at, vector);
    return select(vec4<f32>(), vec4<f32>(q[i.x], q[i.y], q[i.z], q[i.w]), there(vector));
}

fn k_at(at: u32, vector: u32) -> vec4<f32> {
    let i = features_from(at, vector);
    return select(vec4<f32>(), vec4<f32>(k[i.x], k[i.y], k[i.z], k[i.w]), there(vector));
}

fn v_at(at: u32, vector: u32) -> vec4<f32> {
    let i = features_from(at, vector);
    return select(vec4<f32>(), vec4<f32>(v[i.x], v[i.y], v[i.z], v[i.w]), there(vector));
}
