// The part that tiles of both sizes share. A product is cut into tiles, one a workgroup: `tile_64` or `tile_128`. Its sums go over up
// to three sources: the base's matrix, an adapter, and the frozen adapter that is subtracted. The kernel defines
//
// - `terms(source)`: how many terms a source adds to each sum;
// - `left_at` and `right_at`: the numbers of four rows, or of four columns, in a term of a source; of the base 0 where there
//   is no such term;
// - `rows_from` and `columns_from`: where four neighbouring rows or columns lie;
// - LEFT_BY_TERM and RIGHT_BY_TERM: whether an operand's terms lie side by side, or else its rows or columns. Neighbouring
//   invocations load neighbouring elements;
// - `result`: how the sums over the sources are put together;
// - `put_one`: where a number of the result goes.
//
// Terms are taken 16 at a time. Of the base all 16 are summed: those that are not there are 0, and a compiler that knows the
// number unrolls the loop. Of an adapter, which may have few, those that are there.

const BASE: u32 = 0u;
const ADAPTER: u32 = 1u;
const FROZEN: u32 = 2u;

// Four neighbours from `first`; for those that are not there the last one again: they are summed like any other and not put.
fn four_from(first: u32, count: u32) -> vec4<u32> {
    return min(first + vec4<u32>(0u, 1u, 2u, 3u), vec4<u32>(count - 1u));
}

// The products of four rows' numbers with four columns'.
fn outer(rows: vec4<f32>, columns: vec4<f32>) -> mat4x4<f32> {
    return mat4x4<f32>(rows.x * columns, rows.y * columns, rows.z * columns, rows.w * columns);
}

fn put(run: u32, row: u32, column: u32, values: mat4x4<f32>) {
    put_row(run, row, column, values[0]);
    put_row(run, row + 1u, column, values[1]);
    put_row(run, row + 2u, column, values[2]);
    put_row(run, row + 3u, column, values[3]);
}

fn put_row(run: u32, row: u32, column: u32, values: vec4<f32>) {
    put_one(run, row, column, values.x);
    put_one(run, row, column + 1u, values.y);
    put_one(run, row, column + 2u, values.z);
    put_one(run, row, column + 3u, values.w);
}
