// One invocation for each element. The kernel defines `element(i)`; it must leave out an i that is no element, since the
// last workgroup goes on behind the end.

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) local: u32,
) {
    element((group.y * groups.x + group.x) * 256u + local);
}
