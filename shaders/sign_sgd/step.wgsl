// p ← p − (γλp + γ · sign(g)), sign(0) = 0, for every run that has not diverged. Bernstein et al. 2018, arXiv 1802.04434, algorithm 1.

struct Params {
    // Trained elements of a run.
    elements: u32,
    runs: u32,
    parameters: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(7) var<storage, read_write> trained: array<f32>;

fn update(i: u32, run: u32, at: u32, rate: f32, decay: f32) {
    let g = gradients[i];
    let step = select(0.0, rate, g > 0.0) - select(0.0, rate, g < 0.0);
    trained[i] -= rate * decay * trained[i] + step;
}
