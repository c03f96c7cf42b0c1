// y (N, I) (+)= m x (N, I), where an element of the mask m is 0 if its random word is below the threshold, and else 1/(1 − p). The gradient of x is
// the same product of the gradient of y, so both passes run this kernel, and the mask is never stored. Srivastava et al. 2014, JMLR 15.

struct Params {
    // Fours of neighbouring columns in all rows; the last of a row may have fewer.
    fours: u32,
    width: u32,
    threshold: u32,
    // 1/(1 − p).
    factor: f32,
    // The number of the adapter's module.
    site: u32,
    // 1 adds to what y holds, 0 overwrites it.
    add: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
// Four a row: the run's seed in two words, the step, and the row's number in its batch, or OFF.
@group(0) @binding(2) var<storage, read> noise: array<u32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;

// The number of a row that is left as it is.
const OFF: u32 = 0xffffffffu;

fn put(row: u32, column: u32, word: u32) {
    if column >= params.width {
        return;
    }
    let at = row * params.width + column;
    let masked = select(x[at] * params.factor, 0.0, word < params.threshold);
    let value = select(masked, x[at], noise[row * 4u + 3u] == OFF);
    if params.add == 1u {
        y[at] += value;
    } else {
        y[at] = value;
    }
}

fn element(i: u32) {
    if i >= params.fours {
        return;
    }
    let across = (params.width + 3u) / 4u;
    let row = i / across;
    let column = i % across * 4u;
    let counter = vec4<u32>(i % across, noise[row * 4u + 3u], noise[row * 4u + 2u], params.site);
    let words = philox(counter, vec2<u32>(noise[row * 4u], noise[row * 4u + 1u]));
    put(row, column, words.x);
    put(row, column + 1u, words.y);
    put(row, column + 2u, words.z);
    put(row, column + 3u, words.w);
}
