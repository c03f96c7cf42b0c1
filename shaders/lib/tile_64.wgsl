// Tiles of 64 rows by 64 columns, four by four to an invocation, over 16 terms of the sum at a time. Both operands of a
// tile lie by term: four neighbours in a vector, 16 vectors a term, and one of padding against bank conflicts.
const PITCH: u32 = 17u;

var<workgroup> left: array<vec4<f32>, 272>;
var<workgroup> right: array<vec4<f32>, 272>;

// An invocation's part of the result: four rows of four columns.
alias Sums = mat4x4<f32>;

// The place of an invocation in its tile.
struct Tile {
    run: u32,
    // The four rows by four columns that it computes, in fours.
    row: u32,
    column: u32,
    // The elements that it loads: a term, and four neighbouring rows or columns.
    left_term: u32,
    left_four: u32,
    rows: vec4<u32>,
    right_term: u32,
    right_four: u32,
    columns: vec4<u32>,
}

// The sums so far, and to them those over the terms of a source.
fn product(source: u32, tile: Tile, so_far: Sums) -> Sums {
    let row = tile.row;
    let column = tile.column;
    let left_place = tile.left_term * PITCH + tile.left_four;
    let right_place = tile.right_term * PITCH + tile.right_four;
    var sum = so_far;
    let end = terms(source);
    for (var start = 0u; start < end; start += 16u) {
        left[left_place] = left_at(source, tile.rows, start + tile.left_term);
        right[right_place] = right_at(source, tile.run, tile.columns, start + tile.right_term);
        workgroupBarrier();
        if source == BASE {
            for (var k = 0u; k < 16u; k++) {
                sum += outer(left[k * PITCH + row], right[k * PITCH + column]);
            }
        } else {
            for (var k = 0u; k < min(16u, end - start); k++) {
                sum += outer(left[k * PITCH + row], right[k * PITCH + column]);
            }
        }
        workgroupBarrier();
    }
    return sum;
}

// some + factor · others.
fn plus(some: Sums, factor: f32, others: Sums) -> Sums {
    return some + factor * others;
}

@compute @workgroup_size(256)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first_row = group.y * 64u;
    let first_column = group.x * 64u;
    var tile: Tile;
    tile.run = group.z;
    tile.row = local / 16u;
    tile.column = local % 16u;
    tile.left_term = select(local / 16u, local % 16u, LEFT_BY_TERM);
    tile.left_four = select(local % 16u, local / 16u, LEFT_BY_TERM);
    tile.rows = rows_from(tile.run, first_row + tile.left_four * 4u);
    tile.right_term = select(local / 16u, local % 16u, RIGHT_BY_TERM);
    tile.right_four = select(local % 16u, local / 16u, RIGHT_BY_TERM);
    tile.columns = columns_from(first_column + tile.right_four * 4u);
    put(tile.run, first_row + tile.row * 4u, first_column + tile.column * 4u, result(tile));
}
