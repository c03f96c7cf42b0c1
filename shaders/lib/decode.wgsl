// Reads an element of a weight `w` in the format that it is stored in.

// The format of the weights: 0 is f32, 1 is f16, 2 is bf16, 3 is NF4, and 4 + 8 · C is int8 in rows of C columns. Halves lie in pairs, the first in
// the low bits. The layout of NF4 and int8 is that of crates/cpu/src/packed.rs.
override FORMAT: u32 = 0u;

fn half(bits: u32) -> f32 {
    // By integers, since unpack2x16float may flush subnormals, which are weights like any other.
    let magnitude = bits & 0x7fffu;
    let normal = bitcast<f32>((magnitude << 13u) + 0x38000000u);
    let value = select(normal, f32(magnitude) * 5.9604644775390625e-8, magnitude < 0x400u);
    return select(value, -value, (bits & 0x8000u) != 0u);
}

// A block of 64 weights: eight words of eight codes, and their largest magnitude.
fn nf4(index: u32) -> f32 {
    let block = (index >> 6u) * 9u;
    let code = w[block + ((index >> 3u) & 7u)] >> ((index & 7u) << 2u);
    // The level by selection, since an array that is indexed lies in memory on some devices.
    let second = (code & 4u) != 0u;
    let below = select(vec4<f32>(-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453), vec4<f32>(-0.28444138169288635, -0.18477343022823334, -0.09105003625154495, 0.0), second);
    let above = select(vec4<f32>(0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224), vec4<f32>(0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0), second);
    let four = select(below, above, (code & 8u) != 0u);
    let two = select(four.xy, four.zw, (code & 2u) != 0u);
    return select(two.x, two.y, (code & 1u) != 0u) * bitcast<f32>(w[block + 8u]);
}

// A row: its largest magnitude, and words of four codes.
fn int8(index: u32) -> f32 {
    // At least 1, since a compiler may look at this for other formats too.
    let columns = max(FORMAT >> 3u, 1u);
    let row = index / columns * ((columns + 3u) / 4u + 1u);
    let column = index % columns;
    let code = i32(w[row + 1u + (column >> 2u)] << ((~column & 3u) << 3u)) >> 24u;
    // A product is cheaper than a division, and as exact as WGSL has that.
    return f32(code) * 0.007874015748031496 * bitcast<f32>(w[row]);
}

fn weight(index: u32) -> f32 {
    if FORMAT == 0u {
        return bitcast<f32>(w[index]);
    }
    if FORMAT == 3u {
        return nf4(index);
    }
    if FORMAT > 3u {
        return int8(index);
    }
    let bits = (w[index >> 1u] >> ((index & 1u) << 4u)) & 0xffffu;
    if FORMAT == 1u {
        return half(bits);
    }
    return bitcast<f32>(bits << 16u);
}
