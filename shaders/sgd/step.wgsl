// m ← μm + g + λp, from 0; p ← p − γm, for every run that has not diverged. As PyTorch computes it.

struct Params {
    // Trained elements of a run.
    elements: u32,
    runs: u32,
    parameters: u32,
    momentum: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(7) var<storage, read_write> moments: array<f32>;
@group(0) @binding(8) var<storage, read_write> trained: array<f32>;

fn update(i: u32, run: u32, at: u32, rate: f32, decay: f32) {
    let m = params.momentum * moments[i] + (gradients[i] + decay * trained[i]);
    moments[i] = m;
    trained[i] -= rate * m;
}
