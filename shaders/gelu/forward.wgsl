// y = GELU(x), element by element. Hendrycks and Gimpel 2016, arXiv 1606.08415.

fn value(x: f32) -> f32 {
    return gelu(x).x;
}
