// Tiles of 128 rows by COLUMNS columns, over 16 terms of the sum at a time. An invocation has 16 rows, four and the fours
// that lie 32, 64 and 96 below them, by four columns, and where COLUMNS is 128 by the four that lie 64 beside those. Both
// operands of a tile lie by term: four neighbours in a vector, 32 vectors a term. Within eight, the vectors of a term change
// places by its number, so that neither those who put a vector down nor those who take it meet in a bank.

// Columns of a tile: 64 or 128.
override COLUMNS: u32 = 128u;

var<workgroup> left: array<vec4<f32>, 512>;
var<workgroup> right: array<vec4<f32>, 512>;

// An invocation's part of the result: four fours of rows by its four columns, and by those beside.
struct Sums {
    near0: mat4x4<f32>,
    near1: mat4x4<f32>,
    near2: mat4x4<f32>,
    near3: mat4x4<f32>,
    far0: mat4x4<f32>,
    far1: mat4x4<f32>,
    far2: mat4x4<f32>,
    far3: mat4x4<f32>,
}

// The place of an invocation in its tile.
struct Tile {
    run: u32,
    // The first of the rows and columns that it computes, in fours.
    row: u32,
    column: u32,
    // The elements that it loads: terms, and fours of neighbouring rows or columns. Of the left it loads four vectors, which lie 8 fours
    // apart; of the right one for every 32 columns, which lie `term_step` terms and `four_step` fours apart.
    left_term: u32,
    left_four: u32,
    rows0: vec4<u32>,
    rows1: vec4<u32>,
    rows2: vec4<u32>,
    rows3: vec4<u32>,
    right_term: u32,
    right_four: u32,
    term_step: u32,
    four_step: u32,
    columns0: vec4<u32>,
    columns1: vec4<u32>,
    columns2: vec4<u32>,
    columns3: vec4<u32>,
}

// The index of a term's vector of four neighbours.
fn place(term: u32, four: u32) -> u32 {
    return term * 32u + (four ^ (term & 7u));
}

fn load_left(source: u32, tile: Tile, start: u32, vector: u32, rows: vec4<u32>) {
    left[place(tile.left_term, tile.left_four + 8u * vector)] = left_at(source, rows, start + tile.left_term);
}

fn load_right(source: u32, tile: Tile, start: u32, vector: u32, columns: vec4<u32>) {
    let term = tile.right_term + tile.term_step * vector;
    let four = tile.right_four + tile.four_step * vector;
    right[place(term, four)] = right_at(source, tile.run, columns, start + term);
}

// The sums so far, and to them those over the terms of a source.
fn product(source: u32, tile: Tile, so_far: Sums) -> Sums {
    var sum = so_far;
    let end = terms(source);
    for (var start = 0u; start < end; start += 16u) {
        load_left(source, tile, start, 0u, tile.rows0);
        load_left(source, tile, start, 1u, tile.rows1);
        load_left(source, tile, start, 2u, tile.rows2);
        load_left(source, tile, start, 3u, tile.rows3);
        load_right(source, tile, start, 0u, tile.columns0);
        load_right(source, tile, start, 1u, tile.columns1);
        if COLUMNS == 128u {
            load_right(source, tile, start, 2u, tile.columns2);
            load_right(source, tile, start, 3u, tile.columns3);
        }
        workgroupBarrier();
        let count = select(min(16u, end - start), 16u, source == BASE);
        for (var k = 0u; k < count; k++) {
            let left0 = left[place(k, tile.row)];
            let left1 = left[place(k, 8u + tile.row)];
            let left2 = left[place(k, 16u + tile.row)];
            let left3 = left[place(k, 24u + tile.row)];
            let near = right[place(k, tile.column)];
            sum.near0 += outer(left0, near);
            sum.near1 += outer(left1, near);
            sum.near2 += outer(left2, near);
            sum.near3 += outer(left3, near);
            if COLUMNS == 128u {
                let far = right[place(k, 16u + tile.column)];
                sum.far0 += outer(left0, far);
                sum.far1 += outer(left1, far);
                sum.far2 += outer(left2, far);
                sum.far3 += outer(left3, far);
            }
        }
        workgroupBarrier();
    }
    return sum;
}

// some + factor · others.
fn plus(some: Sums, factor: f32, others: Sums) -> Sums {
    return Sums(
        some.near0 + factor * others.near0,
        some.near1 + factor * others.near1,
        some.near2 + factor * others.near2,
        some.near3 + factor * others.near3,
        some.far0 + factor * others.far0,
        some.far1 + factor * others.far1,
        some.far2 + factor * others.far2,
        some.far3 + factor * others.far3,
    );
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let first_row = group.y * 128u;
    let first_column = group.x * COLUMNS;
    let fours = COLUMNS / 4u;
    var tile: Tile;
    tile.run = group.z;
    tile.row = local / 16u;
    tile.column = local % 16u;
    tile.left_term = local % 16u;
    tile.left_four = local / 16u;
    tile.rows0 = rows_from(tile.run, first_row + tile.left_four * 4u);
    tile.rows1 = rows_from(tile.run, first_row + 32u + tile.left_four * 4u);
    tile.rows2 = rows_from(tile.run, first_row + 64u + tile.left_four * 4u);
    tile.rows3 = rows_from(tile.run, first_row + 96u + tile.left_four * 4u);
    tile.right_term = select(local / fours, local % 16u, RIGHT_BY_TERM);
    tile.right_four = select(local % fours, local / 16u, RIGHT_BY_TERM);
    tile.term_step = select(128u / fours, 0u, RIGHT_BY_TERM);
    tile.four_step = select(0u, 8u, RIGHT_BY_TERM);
    let column = first_column + tile.right_four * 4u;
    tile.columns0 = columns_from(column);
    tile.columns1 = columns_from(column + tile.four_step * 4u);
    tile.columns2 = columns_from(column + tile.four_step * 8u);
    tile.columns3 = columns_from(column + tile.four_step * 12u);

    let sum = result(tile);
    let row = first_row + tile.row * 4u;
    let to_column = first_column + tile.column * 4u;
    put(tile.run, row, to_column, sum.near0);
    put(tile.run, row + 32u, to_column, sum.near1);
    put(tile.run, row + 64u, to_column, sum.near2);
    put(tile.run, row + 96u, to_column, sum.near3);
    if COLUMNS == 128u {
        put(tile.run, row, to_column + 64u, sum.far0);
        put(tile.run, row + 32u, to_column + 64u, sum.far1);
        put(tile.run, row + 64u, to_column + 64u, sum.far2);
        put(tile.run, row + 96u, to_column + 64u, sum.far3);
    }
}
