// The segment of each row, (N, 2): its first token and the one after its last, as tokens of the row's sequence. A segment is a run of
// neighbouring rows with the same number; a padding row, whose number is 0, has an empty one.

struct Params {
    // N.
    elements: u32,
    tokens: u32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> segments: array<u32>;
@group(0) @binding(2) var<storage, read_write> limits: array<u32>;

fn element(i: u32) {
    if i >= params.elements {
        return;
    }
    let token = i % params.tokens;
    let before = token + 1u;
    let after = params.tokens - token;
    let own = segments[i];
    var first = token;
    var end = token;
    if own != 0u {
        end = params.tokens;
        first = 0u;
        for (var back = 1u; back < before; back++) {
            if segments[i - back] != own {
                first = before - back;
                break;
            }
        }
        for (var ahead = 1u; ahead < after; ahead++) {
            if segments[i + ahead] != own {
                end = token + ahead;
                break;
            }
        }
    }
    limits[i * 2u] = first;
    limits[i * 2u + 1u] = end;
}
