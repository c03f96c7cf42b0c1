// The gain of a norm: a weight, or 1 more than one, as Gemma stores it.

// 1 where the gain is 1 + w.
override OFFSET: u32 = 0u;

fn gain_at(index: u32) -> f32 {
    let w = weight(index);
    return select(w, 1.0 + w, OFFSET == 1u);
}
