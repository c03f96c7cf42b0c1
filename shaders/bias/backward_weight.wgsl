// dw (O) += Σ dy over the rows of a run: the gradient of a trained bias.

fn term(row: u32, column: u32) -> f32 {
    return dy[row * params.width + column];
}
