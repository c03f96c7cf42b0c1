// dgate (+)= dy · up · a′(gate) and dup (+)= dy · a(gate), element by element. The kernel defines `activation(x)`: a(x) and its derivative.

struct Params {
    elements: u32,
    // 1 adds to what the output holds, 0 overwrites it.
    add_gate: u32,
    add_up: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> gate: array<f32>;
@group(0) @binding(2) var<storage, read> up: array<f32>;
@group(0) @binding(3) var<storage, read> dy: array<f32>;
@group(0) @binding(4) var<storage, read_write> dgate: array<f32>;
@group(0) @binding(5) var<storage, read_write> dup: array<f32>;

fn element(i: u32) {
    if i < params.elements {
        let values = activation(gate[i]);
        let for_gate = dy[i] * up[i] * values.y;
        let for_up = dy[i] * values.x;
        if params.add_gate == 1u {
            dgate[i] += for_gate;
        } else {
            dgate[i] = for_gate;
        }
        if params.add_up == 1u {
            dup[i] += for_up;
        } else {
            dup[i] = for_up;
        }
    }
}
