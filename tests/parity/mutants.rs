//! Broken shaders, each of which the comparison must find: a test that nothing can fail proves nothing.

use std::{collections::BTreeMap, sync::Arc};

use loralab_core::{
    device::{
        shaders,
        webgpu::{Accelerator, Checks, Profile, Tiling},
    },
    graph::shader::{Tile, Tiles},
};

use super::{Case, cases, fill::differences, judge};
use crate::gpu;

/// Least number of mutants of a core op.
const ENOUGH: usize = 12;
const CORE: [&str; 6] = ["linear", "lora_linear", "attention", "rms_norm", "cross_entropy", "adamw"];

/// Shader, what is replaced (every time it stands there), and by what. The cases of the first part of the name are run.
const MUTANTS: &[(&str, &str, &str)] = &[
    ("linear/forward", "i < params.inputs", "i + 1u < params.inputs"),
    ("linear/forward", "four_from(o, params.outputs)", "four_from(o, params.outputs - 1u)"),
    ("linear/forward", "start += 16u", "start += 32u"),
    ("linear/forward", "k < 16u", "k < 15u"),
    ("linear/forward", "rows.w * columns)", "rows.z * columns)"),
    ("linear/forward", "        workgroupBarrier();\n        if", "        if"),
    (
        "linear/forward",
        "rows_from(tile.run, first_row + tile.left_four * 4u)",
        "rows_from(tile.run, tile.left_four * 4u)",
    ),
    ("linear/forward", "values[2]", "values[1]"),
    ("linear/forward", "column < params.outputs", "column <= params.outputs"),
    ("linear/forward", "bits << 16u", "bits << 15u"),
    ("linear/forward", "magnitude < 0x400u", "magnitude < 0x000u"),
    ("linear/forward", "0x38000000u", "0x37800000u"),
    ("linear/forward", "(index & 1u) << 4u", "(~index & 1u) << 4u"),
    ("linear/forward", "select(value, -value, ", "select(value, value, "),
    ("linear/forward", "tile.run = group.z;", "tile.run = 0u;"),
    ("linear/backward_input", "params.add == 1u", "params.add == 2u"),
    ("linear/backward_input", "params.add == 1u", "params.add != 2u"),
    ("linear/backward_input", "start + tile.left_term)", "tile.left_term)"),
    ("linear/backward_input", "tile.right_four = select(local % 16u,", "tile.right_four = select(local / 16u,"),
    ("linear/backward_input", "start < end", "start + 16u < end"),
    ("linear/backward_weight", "+= value;", "= value;"),
    ("linear/backward_weight", "params.offset + row", "row"),
    ("linear/backward_weight", "run * params.stride", "params.stride"),
    ("linear/backward_weight", "n < params.rows", "n + 1u < params.rows"),
    ("linear/backward_weight", "four_from(o, params.outputs)", "four_from(o, params.outputs - 1u)"),
    ("linear/forward_large", "start += 16u", "start += 32u"),
    ("linear/forward_large", "k < count", "k + 1u < count"),
    ("linear/forward_large", "term & 7u", "four & 7u"),
    ("linear/forward_large", "four_from(n, params.rows)", "four_from(n, params.rows - 1u)"),
    ("linear/forward_large", "four_from(o, params.outputs)", "four_from(o, params.outputs - 1u)"),
    ("linear/forward_large", "i < params.inputs", "true"),
    ("linear/forward_large", "first_row + 64u + tile.left_four", "first_row + 32u + tile.left_four"),
    ("linear/forward_large", "column + tile.four_step * 8u", "column"),
    ("linear/forward_large", "far3 += outer(left3, far)", "far3 += outer(left2, far)"),
    ("linear/forward_large", "near1 += outer(left1, near)", "near1 += outer(left0, near)"),
    ("linear/forward_large", "rows.y * columns", "rows.x * columns"),
    ("linear/forward_large", "row + 96u, to_column", "row + 95u, to_column"),
    ("linear/forward_large", "row + 2u, column, values[2]", "row + 2u, column, values[3]"),
    ("linear/forward_large", "to_column + 64u, sum.far1", "to_column + 65u, sum.far1"),
    ("linear/forward_large", "group.y * 128u", "group.y * 129u"),
    ("linear/forward_large", "group.x * COLUMNS", "group.x * (COLUMNS + 1u)"),
    ("linear/forward_large", "group.x * COLUMNS", "group.x * 128u"),
    ("linear/forward_large", "        workgroupBarrier();\n        let", "        let"),
    (
        "linear/backward_input_large",
        "COLUMNS == 128u {\n            load_right",
        "COLUMNS == 129u {\n            load_right",
    ),
    ("linear/backward_input_large", "select(local % fours,", "select(local / 4u,"),
    ("linear/backward_input_large", "start < end", "start + 16u < end"),
    ("linear/backward_input_large", "o < params.outputs", "true"),
    ("linear/backward_input_large", "tile.term_step * vector", "tile.term_step"),
    ("linear/backward_input_large", "four_from(i, params.inputs)", "vec4<u32>(0u)"),
    ("linear/backward_input_large", "params.add == 1u", "params.add == 2u"),
    ("linear/backward_input_large", "left[place(k, 16u + tile.row)]", "left[place(k, 15u + tile.row)]"),
    ("lora_linear/down", "start += 32u", "start += 64u"),
    ("lora_linear/down", "let rows = step * 2u + part", "let rows = step * 2u"),
    ("lora_linear/down", "params.scaled == 1u", "params.scaled == 0u"),
    ("lora_linear/down", "settings[run * 4u]", "settings[0u]"),
    ("lora_linear/down", "run * params.run_stride", "0u"),
    ("lora_linear/down", "min(4u, params.rank - min(r, params.rank))", "3u"),
    ("lora_linear/down", "min(n, params.rows - 1u)", "min(n, params.rows - 2u)"),
    ("lora_linear/down", "min(r, params.rank - 1u)", "0u"),
    ("lora_linear/down", "let inside = start + term < params.inputs;", "let inside = true;"),
    ("lora_linear/down", "let k = step * 8u + share", "let k = step * 8u"),
    ("lora_linear/down", "other < 8u", "other < 7u"),
    ("lora_linear/down", "shares[place + 3u] = high1", "shares[place + 3u] = low1"),
    ("lora_linear/down", "high2 += rows.z * high", "high2 += rows.y * high"),
    ("lora_linear/forward", "plus(base, settings[tile.run * 4u], low)", "plus(base, 1.0, low)"),
    ("lora_linear/forward", "plus(low, -1.0,", "plus(low, 1.0,"),
    ("lora_linear/forward", "PAIRS == 1u", "PAIRS == 2u"),
    ("lora_linear/forward", "run * params.run_stride", "0u"),
    ("lora_linear/forward", "params.b_offset + at", "params.b_offset + 1u + at"),
    ("lora_linear/forward", "start < end", "start + 16u < end"),
    ("lora_linear/forward", "rows.x * columns", "rows.y * columns"),
    ("lora_linear/forward", "min(16u, end - start)", "min(15u, end - start)"),
    ("lora_linear/backward_input", "-vec4<f32>(frozen_dz", "vec4<f32>(frozen_dz"),
    ("lora_linear/backward_input", "run * params.run_stride", "0u"),
    ("lora_linear/backward_input", "params.add == 1u", "params.add == 2u"),
    (
        "lora_linear/backward_input",
        "min(term, terms(source) - 1u) * params.inputs + columns",
        "columns * terms(source) + min(term, terms(source) - 1u)",
    ),
    ("lora_linear/backward_adapter", "other < 8u", "other < 7u"),
    ("lora_linear/backward_adapter", "step < 16u", "step < 15u"),
    ("lora_linear/backward_adapter", "let n = step * 8u + share", "let n = step * 8u"),
    ("lora_linear/backward_adapter", "column_stride] += value", "column_stride] = value"),
    ("lora_linear/backward_adapter", "min(n, params.rows - 1u)", "min(n, params.rows - 2u)"),
    ("lora_linear/backward_adapter", "min(r, params.rank - 1u)", "0u"),
    ("lora_linear/backward_adapter", "min(column, params.columns - 1u)", "0u"),
    ("lora_linear/backward_adapter", "column < params.columns", "column + 1u < params.columns"),
    ("lora_linear/backward_adapter", "sum6 += high.z * columns", "sum6 += high.y * columns"),
    ("lora_linear/backward_adapter", "column + 16u, sum.z", "column + 24u, sum.z"),
    ("lora_linear/backward_adapter", "n < params.rows);", "true);"),
    ("lora_linear/forward_large", "factor * others.far1", "others.far1"),
    ("lora_linear/forward_large", "some.far2 + factor", "some.far2 - factor"),
    ("lora_linear/forward_large", "params.b_offset + at", "at"),
    ("lora_linear/forward_large", "start, 2u, tile.columns2", "start, 2u, tile.columns1"),
    ("lora_linear/forward_large", "PAIRS == 1u", "PAIRS == 2u"),
    ("lora_linear/forward_large", "product(FROZEN,", "product(ADAPTER,"),
    ("lora_linear/forward_large", "near2 += outer(left2", "near2 += outer(left1"),
    ("lora_linear/forward_large", "far3 += outer(left3, far)", "far3 += outer(left3, near)"),
    ("lora_linear/forward_large", "near1 += outer(left1", "near1 += outer(left0"),
    ("lora_linear/backward_input_large", "product(FROZEN, tile, sum)", "product(FROZEN, tile, Sums())"),
    ("lora_linear/backward_input_large", "-vec4<f32>(frozen_dz", "vec4<f32>(frozen_dz"),
    ("lora_linear/backward_input_large", "start, 2u, tile.rows2", "start, 2u, tile.rows0"),
    ("lora_linear/backward_input_large", "min(16u, end - start)", "min(15u, end - start)"),
    ("lora_linear/backward_input_large", "min(term, terms(source) - 1u) * params.inputs", "0u * params.inputs"),
    ("lora_linear/backward_input_large", "params.add == 1u", "params.add == 2u"),
    ("attention/limits", "segments[i - back] != own", "segments[i - back] == own"),
    ("attention/limits", "own != 0u", "true"),
    ("attention/limits", "let token = i % params.tokens;", "let token = i;"),
    ("attention/limits", "end = token + ahead", "end = token + ahead + 1u"),
    ("attention/forward", "token >= range.first", "true"),
    ("attention/forward", "token < range.end", "token <= range.end"),
    ("attention/forward", "query + params.after", "query + 2u"),
    ("attention/forward", "min(params.before, query + 1u)", "query + 1u"),
    ("attention/forward", "if SEGMENTS == 0u", "if true"),
    ("attention/forward", "if CAPPED == 0u", "if true"),
    ("attention/forward", "params.cap * hyperbolic", "hyperbolic"),
    ("attention/forward", "size < 0.625", "size < 6.25"),
    ("attention/forward", "0.13331442", "0.1323"),
    ("attention/forward", "select(value, -value, x", "select(value, value, x"),
    ("attention/forward", "1.0 - 2.0 / (exp", "1.0 - 2.001 / (exp"),
    ("attention/forward", "reach.first + tile * rows", "tile * rows"),
    ("attention/forward", "- rows.first + rows_at_once() - 1u", "- rows.first"),
    ("attention/forward", "min(first_query + 64u, params.tokens) - 1u", "first_query"),
    ("attention/forward", "sum * params.scale", "sum"),
    ("attention/forward", "score > largest", "false"),
    ("attention/forward", "total *= shrink", "total *= 1.0"),
    ("attention/forward", "output[c] *= shrink", "output[c] *= 1.0"),
    ("attention/forward", "largest + log(divisor)", "log(divisor)"),
    ("attention/forward", "output[c] / divisor", "output[c]"),
    ("attention/forward", "select(total, 1.0, total == 0.0)", "total"),
    ("attention/forward", "group.z * params.tokens", "0u"),
    ("attention/forward", "head / (params.heads / params.kv_heads)", "head % params.kv_heads"),
    ("attention/forward", "i < rows_at_once() * VECTORS", "i < (rows_at_once() - 1u) * VECTORS"),
    ("attention/forward", "select(16u, 8u, VECTORS > 32u)", "16u"),
    ("attention/forward", "vector * 4u + 3u, numbers.w", "vector * 4u + 2u, numbers.w"),
    ("attention/forward", ", there(vector))", ", vec4<bool>(true))"),
    ("attention/delta", "sum += dy[at] * y[at]", "sum += dy[at]"),
    ("attention/delta", "sums[i * 2u] = lse[i]", "sums[i * 2u] = lse[i / 2u]"),
    ("attention/backward_query", "(dp - across)", "dp"),
    ("attention/backward_query", "output[c] * params.scale", "output[c]"),
    ("attention/backward_query", "- log_sum", ""),
    ("attention/backward_query", "* slope(score)", ""),
    ("attention/backward_query", "1.0 - tangent * tangent", "1.0 - tangent"),
    ("attention/backward_query", "token < range.end", "token + 1u < range.end"),
    ("attention/backward_query", "params.add == 1u", "params.add == 2u"),
    ("attention/backward_key_value", "is_in(first + j, seen_by)", "first + j > key"),
    ("attention/backward_key_value", "key + params.before", "key + params.before - 1u"),
    ("attention/backward_key_value", "min(params.after, key + 1u)", "1u"),
    ("attention/backward_key_value", "reach.first + tile * rows", "tile * rows"),
    ("attention/backward_key_value", "* slope(score)", ""),
    ("attention/backward_key_value", "member < shared_by", "member < 1u"),
    ("attention/backward_key_value", "(dp - sums[row * 2u + 1u])", "(dp - sums[1u])"),
    ("attention/backward_key_value", "min(first_key + 64u, params.tokens) - 1u", "first_key"),
    ("attention/backward_key_value", "params.add_value == 1u", "params.add == 0u"),
    ("rms_norm/forward", "i += 64u", "i += 65u"),
    ("rms_norm/forward", "+ params.epsilon", ""),
    ("rms_norm/forward", "/ f32(params.width)", ""),
    ("rms_norm/forward", "i < 8u", "i < 7u"),
    ("rms_norm/forward", "shares[local * 8u + i]", "shares[local + i]"),
    ("rms_norm/forward", "* weight(gain + i)", ""),
    ("rms_norm/forward", "row / params.rows_per_run * params.weight_stride", "0u"),
    ("rms_norm/forward", "inverse_rms[row] = inverse", "inverse_rms[row] = 1.0 / inverse"),
    ("rms_norm/backward_input", "inverse * inverse * (", "inverse * ("),
    ("rms_norm/backward_input", "- x[start + i] * along", ""),
    ("rms_norm/backward_input", "params.add == 1u", "params.add == 2u"),
    ("rms_norm/backward_input", "/ f32(params.width)", ""),
    ("rms_norm/backward_input", "local < 8u", "local < 7u"),
    ("rms_norm/backward_input", "sum += weight(gain + i) * dy", "sum += dy"),
    ("rms_norm/backward_weight", "* inverse_rms[row]", ""),
    ("rms_norm/backward_weight", "var sum = gradients[at];", "var sum = 0.0;"),
    (
        "rms_norm/backward_weight",
        "row < (run + 1u) * params.rows_per_run",
        "row + 1u < (run + 1u) * params.rows_per_run",
    ),
    ("orthonormal/forward", "round < 2u", "round < 1u"),
    ("orthonormal/forward", "column += 256u", "column += 512u"),
    ("orthonormal/forward", "earlier += 8u", "earlier += 16u"),
    ("orthonormal/forward", "norm * 3.814697265625e-6", "norm * 0.0"),
    ("orthonormal/forward", "norm * 3.814697265625e-6", "norm * 0.5"),
    ("orthonormal/forward", "i < 16u", "i < 15u"),
    ("orthonormal/forward", "local < 16u", "local < 15u"),
    ("orthonormal/forward", "shares[local * 16u + i]", "shares[local + i]"),
    ("orthonormal/forward", "low_rows < vec4<u32>(row)", "low_rows <= vec4<u32>(row)"),
    ("orthonormal/forward", "high_rows < vec4<u32>(row)", "high_rows <= vec4<u32>(row)"),
    ("orthonormal/forward", "low_rows + 4u", "low_rows + 3u"),
    ("orthonormal/forward", "group.x * params.rows * width", "0u"),
    ("orthonormal/forward", "dot(high, y_at(high_starts", "dot(low, y_at(high_starts"),
    ("orthonormal/forward", "y_at(low_starts, column)) + ", "y_at(low_starts, column)) - "),
    ("orthonormal/forward", "] / left", "] / norm"),
    ("orthonormal/forward", "sqrt(square);", "square;"),
    ("orthonormal/forward", "square + taken", "square"),
    ("orthonormal/forward", "all.high += sixteenths[i].high", "all.high += sixteenths[i].low"),
    ("orthonormal/forward", "y[starts.w + column]", "y[starts.z + column]"),
    ("cross_entropy/forward", "i += 64u", "i += 32u"),
    ("cross_entropy/forward", "logits[start + i] - largest", "logits[start + i]"),
    ("cross_entropy/forward", "largest + log(in_row)", "log(in_row)"),
    ("cross_entropy/forward", "weights[row] * (log_sum - score)", "log_sum - score"),
    ("cross_entropy/forward", "log_sum - score", "log_sum"),
    ("cross_entropy/forward", "select(0.0, log_sum, counts)", "log_sum"),
    ("cross_entropy/forward", "score == largest && first", "true"),
    ("cross_entropy/forward", "select(1.0, select", "select(0.0, select"),
    ("cross_entropy/forward", "i < 8u", "i < 7u"),
    ("cross_entropy/forward", "in_all += earlier_eighths[i]", "in_all += earlier_eighths[0]"),
    ("cross_entropy/forward", "count += earlier[local * 8u + i]", "count += earlier[local * 8u]"),
    ("cross_entropy/forward", "eighths[i] > largest", "eighths[i] < largest"),
    ("cross_entropy/backward_input", "- expected", ""),
    ("cross_entropy/backward_input", "select(0.0, gradient, weight != 0.0)", "gradient + 1e-3"),
    ("cross_entropy/backward_input", "- lse[row]", ""),
    ("cross_entropy/backward_input", "weight * (exp", "(exp"),
    ("cross_entropy/backward_input", "i / params.vocabulary", "i % params.vocabulary"),
    ("adamw/step", "params.one_minus_beta1 * (g", "(1.0 - params.one_minus_beta1) * (g"),
    ("adamw/step", "params.one_minus_beta2 * (g", "(1.0 - params.beta2) * (g"),
    ("adamw/step", "params.beta2 * moments[second]", "moments[second]"),
    ("adamw/step", "(g * g)", "g"),
    ("adamw/step", "+ params.epsilon", ""),
    ("adamw/step", "/ sqrt(rates[at + 2u])", ""),
    ("adamw/step", "rate / rates[at + 1u]", "rate"),
    ("adamw/step", "rate * decay * trained[i] + ", ""),
    ("adamw/step", "of_kind == 1u", "of_kind == 0u"),
    ("adamw/step", "of_kind == 2u", "of_kind == 3u"),
    ("adamw/step", "places[middle * 2u] <= element", "places[middle * 2u] < element"),
    ("adamw/step", "slot[0] * params.runs + run", "slot[0] * params.runs"),
    ("adamw/step", "states[run * 2u] != 0u", "states[run * 2u] == 0u"),
    ("precondition/product", "start += 32u", "start += 64u"),
    ("precondition/product", "k < 32u", "k < 31u"),
    (
        "precondition/product",
        "line < params.rank {\n                of_column",
        "line + 1u < params.rank {\n                of_column",
    ),
    ("precondition/product", "select(1u, terms, kind == 3u)", "select(1u, terms, kind == 1u)"),
    ("precondition/product", "run * params.elements + place", "place"),
    ("precondition/product", "kind != 1u && kind != 3u", "kind != 3u"),
    ("precondition/product", "params.rank + 7u", "params.rank"),
    ("precondition/inverse", "max(params.epsilon, trace", "max(0.0, trace"),
    ("precondition/inverse", "products[m + k * rank + k] + epsilon", "products[m + k * rank + k]"),
    ("precondition/inverse", "j < k; j++) {\n            pivot", "j + 1u < k; j++) {\n            pivot"),
    ("precondition/inverse", "= sum / root;", "= sum;"),
    ("precondition/inverse", "k + 1u + local", "k + 2u + local"),
    ("precondition/inverse", "select(0.0, 1.0, i == column)", "1.0"),
    ("precondition/inverse", "var k = max(i, j)", "var k = max(i, j) + 1u"),
    ("precondition/inverse", "params.unit == 1u", "params.unit == 2u"),
    ("precondition/inverse", "share < 64u", "share < 32u"),
    ("precondition/inverse", "group.y * params.parameters", "0u * params.parameters"),
    ("precondition/apply", "parameter + 1u) * rank * rank + row", "parameter) * rank * rank + row"),
    ("precondition/apply", "parameter - 1u) * rank * rank + column", "parameter) * rank * rank + column"),
    ("precondition/apply", "start + k * inputs + column", "start + k * inputs"),
    ("precondition/apply", "inverses[inverse + k * rank]", "inverses[inverse]"),
    ("precondition/apply", "var sum = gradients[i];", "var sum = 0.0;"),
    ("sgd/step", "params.momentum * moments[i]", "moments[i]"),
    ("sgd/step", "+ decay * trained[i]", ""),
    ("sign_sgd/step", "g < 0.0", "g < -1.0"),
    ("sign_sgd/step", "rate * decay * trained[i] + ", ""),
    ("clip/scale", "gradients[i] *= factor", "gradients[i] *= factor * 1.001"),
    ("clip/scale", "i / params.elements * 2u", "0u * 2u"),
    ("finite/partial", "block * 4096u + local", "local"),
    ("finite/partial", "sum += gradient * gradient", "sum += abs(gradient)"),
    ("finite/partial", "(block + 1u) * 4096u, params.elements", "(block + 1u) * 4096u, params.elements - 1u"),
    ("finite/total", "block += 64u", "block += 63u"),
    ("finite/total", "most > 0.0 &&", ""),
    ("finite/total", "most / (norm", "1.0 / (norm"),
    ("step/gather", "row < params.rows_per_run", "row + 1u < params.rows_per_run"),
    ("step/gather", "= gathered[run * 64u + local]", "= 1.0"),
    ("finite/total", "gathered[run * 64u + local] = 0.0;", ""),
    ("embedding/forward", "row / params.rows_per_run * params.weight_stride", "0u"),
    ("embedding/forward", "tokens[row] * params.width", "tokens[0] * params.width"),
    ("embedding/backward_weight", "tokens[row] == token", "tokens[row] != token"),
    ("embedding/backward_weight", "i / params.width % params.vocabulary", "i / params.width"),
    ("rope/rotate", "params.back == 1u", "params.back == 0u"),
    ("rope/rotate", "head / params.heads % params.tokens", "head % params.tokens"),
    ("rope/rotate", "+ x[low] * sine", "- x[low] * sine"),
    ("rope/rotate", "params.add == 1u", "params.add == 2u"),
    ("swiglu/forward", "exp(-gate[i])", "exp(gate[i])"),
    ("swiglu/backward_input", "(1.0 - sigmoid)", "sigmoid"),
    ("swiglu/backward_input", "params.add_up == 1u", "params.add_gate == 0u"),
    ("relu/forward", "value <= 0.0", "value <= 0.5"),
    ("relu/backward_input", "x[i] > 0.0", "x[i] < 0.0"),
    ("relu/backward_input", "params.add == 1u", "params.add == 2u"),
    ("add/forward", "a[i] + b[i]", "a[i] - b[i]"),
    ("moments/forward", "+= value;", "= value;"),
    ("moments/forward", "params.offset + c", "c"),
    ("moments/forward", "run * params.stride", "params.stride"),
    ("moments/forward", "weights[row] * select", "select"),
    ("moments/forward", "n < params.rows", "n + 1u < params.rows"),
    ("moments/forward", "c <= params.codes", "c < params.codes"),
    ("moments/forward", "own == vec4", "own > vec4"),
    ("moments/forward", "let run = codes.x / count;", "let run = 0u;"),
    ("moments/forward", "own, vec4<u32>(params.codes - 1u)", "own, vec4<u32>(0u)"),
    ("mse/forward", "difference * difference", "abs(difference)"),
    ("mse/forward", "weights[row] * sum", "sum"),
    ("mse/backward_input", "(weight + weight)", "weight"),
    ("uniform/fill", "round < 10u", "round < 9u"),
    ("uniform/fill", "word >> 9u", "word >> 8u"),
    ("uniform/fill", "(carry >> 16u)", "0u"),
    ("uniform/fill", "index * 4u + 3u", "index * 4u + 2u"),
    ("normal/fill", "0x9e3779b9u, 0xbb67ae85u", "0xbb67ae85u, 0x9e3779b9u"),
    ("normal/fill", "z + 128u", "z"),
    ("normal/fill", "coefficients[at + 3u]", "coefficients[at + 2u]"),
    ("normal/fill", "octave * 16u", "octave * 15u"),
    ("normal/fill", "params.name_high)", "params.name_low)"),
    ("step/load", "slot[0] * params.stride", "params.stride"),
    ("step/load", "params.offset + i", "i"),
];

/// A part of the cases' names for every folder of shaders whose cases are not called like it.
const CASES: [(&str, &str); 7] = [
    ("clip", "adamw"),
    ("finite", "adamw"),
    ("add", "add, relu"),
    ("relu", "add, relu"),
    ("swiglu", "add, relu"),
    ("step", "embedding"),
    ("adamw", "adamw"),
];

#[test]
fn there_are_enough_mutants_of_every_core_op_and_some_of_every_other() {
    let mut count = BTreeMap::<&str, usize>::new();
    for shader in shaders() {
        count.insert(folder(shader.name), 0);
    }
    for (shader, from, _) in MUTANTS {
        let table = shaders().find(|table| table.name == *shader).unwrap_or_else(|| panic!("there is no {shader}"));
        assert!(table.source().contains(from), "{shader} has no «{from}» that could be broken");
        *count.entry(folder(shader)).or_default() += 1;
    }
    for (op, count) in count {
        let least = if CORE.contains(&op) { ENOUGH } else { 1 };
        assert!(count >= least, "{op} has {count} mutants, at least {least} are needed");
    }
}

#[test]
fn every_mutant_is_found() {
    let cases = cases();
    let mut survivors = Vec::new();
    for (shader, from, to) in MUTANTS {
        let table = shaders().find(|table| table.name == *shader).expect("the test above looks for it");
        let tiles: &[Tile] = if shader.ends_with("_large") { &[Tile::Large, Tile::Tall] } else { &[Tile::Square] };
        let open = |tile: &Tile| {
            let mut gpu = gpu::open_with(Profile::Native, Checks::On, Tiling::Given(Tiles::all(*tile)));
            gpu.replace_source(shader, table.source().replace(from, to));
            Arc::new(gpu)
        };
        let gpus: Vec<Arc<Accelerator>> = tiles.iter().map(open).collect();
        let op = folder(shader);
        if ["uniform", "normal"].contains(&op) {
            if gpus.iter().all(|gpu| differences(gpu).is_empty()) {
                survivors.push(format!("{shader}: «{from}» → «{to}»"));
            }
            continue;
        }
        let of = CASES.iter().find(|(folder, _)| *folder == op).map_or(op, |(_, cases)| cases);
        let fails = |gpu: &Arc<Accelerator>| {
            let of_op = cases.iter().filter(|case: &&Case| case.what.starts_with(of));
            of_op.into_iter().any(|case| judge(case, gpu).failure().is_some())
        };
        if !gpus.iter().any(fails) {
            survivors.push(format!("{shader}: «{from}» → «{to}»"));
        }
    }
    assert!(survivors.is_empty(), "{} of {} mutants live:\n{}", survivors.len(), MUTANTS.len(), survivors.join("\n"));
}

fn folder(shader: &str) -> &str {
    shader.split('/').next().unwrap_or(shader)
}
