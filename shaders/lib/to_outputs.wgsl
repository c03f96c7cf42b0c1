// A product forward: its result is outputs of y (N, columns), and its matrices are (outputs, terms). Both operands have their terms
// side by side.

const LEFT_BY_TERM: bool = true;
const RIGHT_BY_TERM: bool = true;

fn rows_from(run: u32, n: u32) -> vec4<u32> {
    return run * params.rows + four_from(n, params.rows);
}

fn columns_from(o: u32) -> vec4<u32> {
    return four_from(o, params.outputs);
}

fn put_one(run: u32, row: u32, column: u32, value: f32) {
    if row < params.rows && column < params.outputs {
        y[(run * params.rows + row) * params.columns + params.first + column] = value;
    }
}
