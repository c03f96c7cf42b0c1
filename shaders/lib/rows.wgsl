// One workgroup of 64 invocations for each of `params.rows` rows. The kernel defines `of_row(row, local)`.

// The share of each invocation, and the total of each eight of them.
var<workgroup> shares: array<f32, 64>;
var<workgroup> eighths: array<f32, 8>;

// The sum of all invocations' shares, which are added by eights.
fn total(local: u32, share: f32) -> f32 {
    shares[local] = share;
    workgroupBarrier();
    if local < 8u {
        var eighth = 0.0;
        for (var i = 0u; i < 8u; i++) {
            eighth += shares[local * 8u + i];
        }
        eighths[local] = eighth;
    }
    workgroupBarrier();
    var sum = 0.0;
    for (var i = 0u; i < 8u; i++) {
        sum += eighths[i];
    }
    return sum;
}

@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    let row = group.y * groups.x + group.x;
    if row < params.rows {
        of_row(row, local);
    }
}
