// A Aᵀ of every A, and Bᵀ B of every B, (R, R): what a preconditioner inverts. Zhang and Pilanci 2024, arXiv 2402.02347.
//
// A workgroup makes 8 × 8 of one run and tensor, one element an invocation, over 32 terms of the sum at a time.

struct Params {
    // Trained elements of a run.
    elements: u32,
    parameters: u32,
    // The highest; each parameter has room for it.
    rank: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> trained: array<f32>;
// Parameter p holds the elements from places[3p], is of kind places[3p + 1], 0 a matrix, 1 a B, 2 a gain, 3 an A, and of the rank places[3p + 2].
@group(0) @binding(2) var<storage, read> places: array<u32>;
@group(0) @binding(3) var<storage, read_write> products: array<f32>;

// Eight lines of 32 terms, and one of padding against bank conflicts.
var<workgroup> left: array<f32, 264>;
var<workgroup> right: array<f32, 264>;

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let run = group.z;
    let parameter = group.y;
    let kind = places[parameter * 3u + 1u];
    if kind != 1u && kind != 3u {
        return;
    }
    let rank = places[parameter * 3u + 2u];
    let tiles = (params.rank + 7u) / 8u;
    let first_row = group.x / tiles * 8u;
    let first_column = group.x % tiles * 8u;
    let place = places[parameter * 3u];
    var end = params.elements;
    if parameter + 1u < params.parameters {
        end = places[parameter * 3u + 3u];
    }
    // I of an A and O of a B: what is summed over.
    let terms = (end - place) / rank;
    let rank_stride = select(1u, terms, kind == 3u);
    let term_stride = select(rank, 1u, kind == 3u);
    let start_of_factor = run * params.elements + place;

    let row = local / 8u;
    let column = local % 8u;
    var sum = 0.0;
    for (var start = 0u; start < terms; start += 32u) {
        for (var lane = 0u; lane < 4u; lane++) {
            let line = lane * 2u + local / 32u;
            let term = start + local % 32u;
            var of_row = 0.0;
            var of_column = 0.0;
            if term < terms && first_row + line < rank {
                of_row = trained[start_of_factor + (first_row + line) * rank_stride + term * term_stride];
            }
            if term < terms && first_column + line < rank {
                of_column = trained[start_of_factor + (first_column + line) * rank_stride + term * term_stride];
            }
            left[line * 33u + local % 32u] = of_row;
            right[line * 33u + local % 32u] = of_column;
        }
        workgroupBarrier();
        for (var k = 0u; k < 32u; k++) {
            sum += left[row * 33u + k] * right[column * 33u + k];
        }
        workgroupBarrier();
    }
    let i = first_row + row;
    let j = first_column + column;
    if i < rank && j < rank {
        products[(run * params.parameters + parameter) * params.rank * params.rank + i * rank + j] = sum;
    }
}
