// dx (+)= dy · GELU′(x), element by element.

fn gradient(x: f32, dy: f32) -> f32 {
    return dy * gelu(x).y;
}
