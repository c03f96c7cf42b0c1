// A product backward: its result is dx (N, I), and its matrices are (terms, I). The left operand has its terms side by side,
// the right its columns.

const LEFT_BY_TERM: bool = true;
const RIGHT_BY_TERM: bool = false;

fn rows_from(run: u32, n: u32) -> vec4<u32> {
    return run * params.rows + four_from(n, params.rows);
}

fn columns_from(i: u32) -> vec4<u32> {
    return four_from(i, params.inputs);
}

fn put_one(run: u32, row: u32, column: u32, value: f32) {
    if row < params.rows && column < params.inputs {
        let at = (run * params.rows + row) * params.inputs + column;
        if params.add == 1u {
            dx[at] += value;
        } else {
            dx[at] = value;
        }
    }
}
