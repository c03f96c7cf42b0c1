// M ← (M + ε I)⁻¹ of every product of a factor with itself, (R, R), from Cholesky's factors; over its norm where asked. One workgroup a matrix.
//
// An ε below 2⁻²⁰ of the product's trace is raised to that, and no pivot is below ε. After each barrier, invocations read numbers that others wrote
// before it.

struct Params {
    parameters: u32,
    // The highest; each parameter has room for it.
    rank: u32,
    epsilon: f32,
    // 1 divides by the Frobenius norm over the directions in which the factor is not zero; a factor that is zero in all gives I.
    unit: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
// Parameter p is of kind places[3p + 1], 0 a matrix, 1 a B, 2 a gain, 3 an A, and of the rank places[3p + 2].
@group(0) @binding(1) var<storage, read> places: array<u32>;
// R · R a run and parameter: the product, then its lower factor L, then the inverse.
@group(0) @binding(2) var<storage, read_write> products: array<f32>;
// R · (R + 1) a run and parameter: L⁻¹, then the diagonal of the product.
@group(0) @binding(3) var<storage, read_write> triangles: array<f32>;

var<workgroup> squares: array<f32, 64>;

// The product at m becomes its lower factor, column by column.
fn factorise(m: u32, rank: u32, epsilon: f32, local: u32) {
    for (var k = 0u; k < rank; k++) {
        var pivot = products[m + k * rank + k] + epsilon;
        for (var j = 0u; j < k; j++) {
            pivot -= products[m + k * rank + j] * products[m + k * rank + j];
        }
        let root = sqrt(max(pivot, epsilon));
        storageBarrier();
        if local == 0u {
            products[m + k * rank + k] = root;
        }
        for (var i = k + 1u + local; i < rank; i += 64u) {
            var sum = products[m + i * rank + k];
            for (var j = 0u; j < k; j++) {
                sum -= products[m + i * rank + j] * products[m + k * rank + j];
            }
            products[m + i * rank + k] = sum / root;
        }
        storageBarrier();
    }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) local: u32) {
    let kind = places[group.x * 3u + 1u];
    if kind != 1u && kind != 3u {
        return;
    }
    let rank = places[group.x * 3u + 2u];
    let matrix = group.y * params.parameters + group.x;
    let m = matrix * params.rank * params.rank;
    let lower = matrix * params.rank * (params.rank + 1u);
    let diagonal = lower + rank * rank;

    var trace = 0.0;
    for (var k = 0u; k < rank; k++) {
        trace += products[m + k * rank + k];
    }
    for (var k = local; k < rank; k += 64u) {
        triangles[diagonal + k] = products[m + k * rank + k];
    }
    let epsilon = max(params.epsilon, trace * 9.5367431640625e-7);
    storageBarrier();

    factorise(m, rank, epsilon, local);

    for (var column = local; column < rank; column += 64u) {
        for (var i = column; i < rank; i++) {
            var sum = select(0.0, 1.0, i == column);
            for (var j = column; j < i; j++) {
                sum -= products[m + i * rank + j] * triangles[lower + j * rank + column];
            }
            triangles[lower + i * rank + column] = sum / products[m + i * rank + i];
        }
    }
    storageBarrier();

    var square = 0.0;
    for (var i = local; i < rank; i += 64u) {
        for (var j = 0u; j < rank; j++) {
            var sum = 0.0;
            for (var k = max(i, j); k < rank; k++) {
                sum += triangles[lower + k * rank + i] * triangles[lower + k * rank + j];
            }
            products[m + i * rank + j] = sum;
            if triangles[diagonal + i] > 0.0 && triangles[diagonal + j] > 0.0 {
                square += sum * sum;
            }
        }
    }
    squares[local] = square;
    workgroupBarrier();
    if params.unit == 1u {
        var all = 0.0;
        for (var share = 0u; share < 64u; share++) {
            all += squares[share];
        }
        let norm = sqrt(all);
        for (var i = local; i < rank; i += 64u) {
            for (var j = 0u; j < rank; j++) {
                let at = m + i * rank + j;
                // The norm is zero where the factor is.
                products[at] = select(select(0.0, 1.0, i == j), products[at] / norm, trace > 0.0);
            }
        }
    }
}
