// A parameter is a trained tensor. Parameter p holds the elements from places[3p], and is of kind places[3p + 1]: 0 a matrix,
// 1 a B, 2 a gain, 3 an A. An A or B is of the rank places[3p + 2].

// The parameter that an element belongs to.
fn parameter_of(element: u32) -> u32 {
    var low = 0u;
    for (var span = params.parameters; span > 1u; span -= span / 2u) {
        let middle = low + span / 2u;
        low = select(low, middle, places[middle * 3u] <= element);
    }
    return low;
}
