// y (N, W): each row of x (N, W) less its parts along the rows of y before it in its run, over its length; twice, which is enough. One workgroup a run.
// Giraud, Langou, Rozložník and van den Eshof 2005.
//
// A row of which no larger share than 2⁻¹⁸ is left depends on those before it and becomes zero; one whose length is not finite becomes that. Eight rows are
// taken out at once. Each invocation keeps to its columns, so an element of y is written and read by the same one.

struct Params {
    // Of one run.
    rows: u32,
    width: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;

struct Eight {
    low: vec4<f32>,
    high: vec4<f32>,
}

// The sums of each invocation, of each sixteen of them, and of all.
var<workgroup> shares: array<Eight, 256>;
var<workgroup> sixteenths: array<Eight, 16>;
var<workgroup> whole: Eight;

fn total(local: u32, share: Eight) -> Eight {
    shares[local] = share;
    workgroupBarrier();
    if local < 16u {
        var sixteenth = Eight();
        for (var i = 0u; i < 16u; i++) {
            sixteenth.low += shares[local * 16u + i].low;
            sixteenth.high += shares[local * 16u + i].high;
        }
        sixteenths[local] = sixteenth;
    }
    workgroupBarrier();
    if local == 0u {
        var all = Eight();
        for (var i = 0u; i < 16u; i++) {
            all.low += sixteenths[i].low;
            all.high += sixteenths[i].high;
        }
        whole = all;
    }
    workgroupBarrier();
    return whole;
}

fn y_at(starts: vec4<u32>, column: u32) -> vec4<f32> {
    return vec4<f32>(y[starts.x + column], y[starts.y + column], y[starts.z + column], y[starts.w + column]);
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let width = params.width;
    let run = group.x * params.rows * width;
    for (var row = 0u; row < params.rows; row++) {
        let start = run + row * width;
        for (var column = local; column < width; column += 256u) {
            y[start + column] = x[start + column];
        }
        var taken = 0.0;
        for (var round = 0u; round < 2u; round++) {
            for (var earlier = 0u; earlier < row; earlier += 8u) {
                let low_rows = earlier + vec4<u32>(0u, 1u, 2u, 3u);
                let high_rows = low_rows + 4u;
                let low_starts = run + min(low_rows, vec4<u32>(row - 1u)) * width;
                let high_starts = run + min(high_rows, vec4<u32>(row - 1u)) * width;
                var share = Eight();
                for (var column = local; column < width; column += 256u) {
                    let value = y[start + column];
                    share.low += value * y_at(low_starts, column);
                    share.high += value * y_at(high_starts, column);
                }
                let along = total(local, share);
                // Rows that are not there have the last one's place.
                let low = select(vec4<f32>(), along.low, low_rows < vec4<u32>(row));
                let high = select(vec4<f32>(), along.high, high_rows < vec4<u32>(row));
                taken += dot(low, low) + dot(high, high);
                for (var column = local; column < width; column += 256u) {
                    y[start + column] -= dot(low, y_at(low_starts, column)) + dot(high, y_at(high_starts, column));
                }
            }
        }
        var square = 0.0;
        for (var column = local; column < width; column += 256u) {
            square += y[start + column] * y[start + column];
        }
        square = total(local, Eight(vec4<f32>(square), vec4<f32>())).low.x;
        let left = sqrt(square);
        // Of the row as it was: by Pythagoras, from what was taken out and what is left.
        let norm = sqrt(square + taken);
        let depends = left <= norm * 3.814697265625e-6;
        // Read from the bits: a shader compiler may think that every number is finite.
        let is_finite = (bitcast<u32>(norm) & 0x7f800000u) != 0x7f800000u;
        for (var column = local; column < width; column += 256u) {
            let value = select(y[start + column] / left, 0.0, depends);
            y[start + column] = select(norm, value, is_finite);
        }
    }
}
