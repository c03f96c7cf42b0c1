//! Small models around each op, at shapes that fit no tile.

use half::{bf16, f16};
use loralab_core::graph::{
    memory::{Data, Group, Tensor, Value, Weight},
    ops::Attend,
    plan::{Optimizer, Preconditioner, Shape},
    tape::{Purpose, Tape},
};

use super::normal;

/// A model with one op in its middle.
pub struct Case {
    /// The op and its sizes.
    pub what: String,
    /// B and T of a run.
    pub shape: Shape,
    /// Whether adapters have a frozen second pair.
    pub frozen_pairs: bool,
    /// Tokens are below this.
    pub vocabulary: u32,
    /// The frozen weights.
    pub base: Vec<Tensor>,
    /// How it is trained.
    pub optimizer: Optimizer,
    /// What it is compiled for, if not for training.
    pub purpose: Option<Purpose>,
    /// What its adapters' gradients are multiplied by before.
    pub preconditioner: Option<Preconditioner>,
    /// Records it.
    pub record: Box<dyn Fn(&mut Tape)>,
}

const ADAMW: Optimizer = Optimizer::AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-6 };

/// How a frozen tensor is stored.
#[derive(Clone, Copy, Debug)]
enum Stored {
    F32,
    F16,
    Bf16,
}

impl Case {
    fn new(what: String, [sequences, tokens]: [usize; 2], record: impl Fn(&mut Tape) + 'static) -> Case {
        Case {
            what,
            shape: Shape { runs: 1, sequences, tokens },
            frozen_pairs: false,
            vocabulary: 5,
            base: vec![],
            optimizer: ADAMW,
            purpose: None,
            preconditioner: None,
            record: Box::new(record),
        }
    }

    fn over(mut self, base: Vec<Tensor>) -> Case {
        self.base = base;
        self
    }
}

/// Every case.
pub fn cases() -> Vec<Case> {
    [
        linear(),
        lora_linear(),
        attention(),
        rms_norm(),
        orthonormal(),
        rope(),
        elementwise(),
        embedding(),
        losses(),
        moments(),
        optimizers(),
        preconditioners(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn linear() -> Vec<Case> {
    let mut cases = Vec::new();
    for (stored, [inputs, outputs], shape) in [
        (Stored::F32, [5, 3], [1, 7]),
        (Stored::F16, [70, 65], [5, 13]),
        (Stored::Bf16, [16, 130], [2, 64]),
        (Stored::F16, [1, 1], [1, 1]),
        (Stored::Bf16, [33, 17], [3, 23]),
        (Stored::F32, [139, 150], [3, 50]),
    ] {
        let what = format!("linear {inputs} → {outputs}, {stored:?}, {shape:?}");
        // A trained layer beneath, so that the frozen one has a gradient to pass on; and the sum, so that it has to add to one.
        let record = move |tape: &mut Tape| {
            let x = trained_rows(tape, inputs);
            let y = tape.linear(x, Weight::Frozen(0), outputs);
            let other = tape.linear(x, Weight::Frozen(0), outputs);
            let sum = tape.add(y, other);
            // One that is not the first thing trained.
            let last = tape.parameter("last", [3, outputs], Group::Matrix);
            let y = tape.linear(sum, Weight::Trained(last), 3);
            tape.mse(y);
        };
        cases.push(Case::new(what, shape, record).over(vec![tensor("w", [outputs, inputs], stored)]));
    }
    cases
}

fn lora_linear() -> Vec<Case> {
    let mut cases = Vec::new();
    for (stored, [inputs, outputs], rank, shape, frozen_pairs) in [
        (Stored::F32, [5, 3], 1, [1, 7], true),
        (Stored::F16, [70, 65], 8, [5, 13], false),
        (Stored::Bf16, [32, 130], 17, [2, 40], true),
        (Stored::F32, [33, 64], 3, [3, 23], false),
        (Stored::F16, [40, 35], 9, [1, 33], true),
        (Stored::F32, [6, 9], 2, [3, 50], false),
        (Stored::Bf16, [139, 150], 11, [3, 50], true),
    ] {
        let what =
            format!("lora_linear {inputs} → {outputs} of rank {rank}, {stored:?}, pairs {frozen_pairs}, {shape:?}");
        let record = move |tape: &mut Tape| {
            let x = trained_rows(tape, inputs);
            let y = tape.lora_linear(x, Weight::Frozen(0), outputs, rank, "first");
            let other = tape.lora_linear(x, Weight::Frozen(0), outputs, rank, "second");
            let sum = tape.add(y, other);
            tape.mse(sum);
        };
        let case = Case::new(what, shape, record).over(vec![tensor("w", [outputs, inputs], stored)]);
        cases.push(Case { frozen_pairs, ..case });
    }
    cases
}

fn attention() -> Vec<Case> {
    let plain = |heads, head_size, shape| (heads, shape, Attend::causal(head_size));
    let ruled = |heads, shape, causal, window, cap, segments, head_size| {
        let attend = Attend { causal, window, cap, segments, scale: 0.7, ..Attend::causal(head_size) };
        (heads, shape, attend)
    };
    let list = [
        plain([1, 1], 1, [2, 1]),
        plain([2, 1], 7, [2, 5]),
        plain([2, 2], 16, [1, 16]),
        plain([3, 1], 20, [2, 17]),
        plain([4, 2], 24, [1, 40]),
        plain([1, 1], 128, [1, 19]),
        plain([2, 1], 250, [1, 11]),
        // More than a workgroup's, so that tiles before and after are skipped.
        ruled([1, 1], [1, 150], true, Some(9), None, false, 3),
        ruled([2, 1], [2, 70], false, None, None, false, 5),
        ruled([2, 1], [1, 140], false, Some(20), Some(1.1), false, 2),
        ruled([2, 1], [2, 33], true, None, Some(0.4), true, 4),
        ruled([2, 2], [1, 140], false, None, None, true, 6),
        ruled([1, 1], [2, 81], true, Some(7), None, true, 3),
        ruled([1, 1], [1, 13], false, Some(5), Some(2.0), true, 256),
    ];
    let case = |([heads, kv_heads], shape, attend): ([usize; 2], [usize; 2], Attend)| {
        let what = format!("attention of {heads} heads over {kv_heads}, {shape:?}, {attend:?}");
        let record = move |tape: &mut Tape| {
            let (wide, narrow) = (heads * attend.head_size, kv_heads * attend.head_size);
            let x = trained_rows(tape, 9);
            let [q, k, v] = [("q", wide), ("k", narrow), ("v", narrow)].map(|(name, columns)| {
                let weight = tape.parameter(name, [columns, 9], Group::Matrix);
                tape.linear(x, Weight::Trained(weight), columns)
            });
            let y = tape.attention(q, k, v, attend);
            // Read twice, so that the gradients of the second are added to those of the first.
            let again = tape.attention(q, k, v, attend);
            let sum = tape.add(y, again);
            tape.mse(sum);
        };
        Case::new(what, shape, record)
    };
    list.into_iter().map(case).collect()
}

fn rms_norm() -> Vec<Case> {
    let mut cases = Vec::new();
    for (width, shape, stored) in [
        (1, [1, 3], Stored::F32),
        (7, [2, 5], Stored::F16),
        (64, [1, 9], Stored::Bf16),
        (65, [3, 3], Stored::F16),
        (200, [1, 2], Stored::F32),
    ] {
        let what = format!("rms_norm of {width} columns, {stored:?}, {shape:?}");
        let record = move |tape: &mut Tape| {
            let x = trained_rows(tape, width);
            let gain = tape.parameter("gain", [1, width], Group::Gain);
            let y = tape.rms_norm(x, Weight::Frozen(0), 1e-5);
            let z = tape.rms_norm(x, Weight::Trained(gain), 1e-3);
            let sum = tape.add(y, z);
            tape.mse(sum);
        };
        cases.push(Case::new(what, shape, record).over(vec![tensor("gain", [1, width], stored)]));
    }
    cases
}

/// Rows from nowhere in particular; ones so close together that once over each would not do; and ones that depend on each other.
fn orthonormal() -> Vec<Case> {
    let case = |what: String, rows: usize, width: usize, base: Vec<Tensor>| {
        let record = move |tape: &mut Tape, inputs: Option<usize>| {
            let mut x = tape.features(inputs.unwrap_or(width));
            if inputs.is_some() {
                x = tape.linear(x, Weight::Frozen(0), width);
            }
            let y = tape.orthonormal(x);
            let last = tape.parameter("last", [3, width], Group::Matrix);
            let y = tape.linear(y, Weight::Trained(last), 3);
            tape.mse(y);
        };
        let inputs = base.first().map(|tensor| tensor.shape[1]);
        Case::new(what, [1, rows], move |tape| record(tape, inputs)).over(base)
    };
    let shapes = [[1, 1], [2, 3], [5, 7], [6, 9], [8, 64], [9, 65], [17, 300], [40, 139], [3, 1000]];
    let drawn = shapes.map(|[rows, width]| case(format!("orthonormal {rows} rows of {width}"), rows, width, vec![]));
    let bundle = |rank: usize, width: usize| {
        let mut values = normal("bundle", 1.0, width * rank);
        values.iter_mut().step_by(rank).for_each(|x| *x *= 100.0);
        Tensor { name: "bundle".to_owned(), shape: [width, rank], data: Data::F32(values) }
    };
    let close = case("orthonormal rows in a bundle".to_owned(), 4, 300, vec![bundle(4, 300)]);
    let [one, two] = [1, 2].map(|rank| {
        case(format!("orthonormal rows of rank {rank}"), 11, 70, vec![tensor("rank", [70, rank], Stored::F32)])
    });
    let zeros = Tensor { name: "zeros".to_owned(), shape: [70, 3], data: Data::F32(vec![0.0; 210]) };
    let none = case("orthonormal rows of rank 0".to_owned(), 5, 70, vec![zeros]);
    drawn.into_iter().chain([close, one, two, none]).collect()
}

fn rope() -> Vec<Case> {
    let case = |heads: usize, head_size: usize, shape: [usize; 2]| {
        let what = format!("rope of {heads} heads, {head_size} features, {shape:?}");
        let tokens = shape[1];
        Case::new(what, shape, move |tape| {
            let half = head_size / 2;
            let angle = |index: usize| (index / half) as f64 / (1.0 + (index % half) as f64);
            let table = tape.table((0..tokens * half).map(|index| angle(index).cos()).collect());
            tape.table((0..tokens * half).map(|index| angle(index).sin()).collect());
            let x = trained_rows(tape, heads * head_size);
            let y = tape.rope(x, head_size, table);
            let z = tape.rope(x, head_size, table);
            let sum = tape.add(y, z);
            tape.mse(sum);
        })
    };
    vec![case(1, 2, [2, 3]), case(3, 6, [2, 5]), case(2, 24, [1, 17])]
}

fn elementwise() -> Vec<Case> {
    let case = |columns: usize, shape: [usize; 2]| {
        let what = format!("add, relu and swiglu of {columns} columns, {shape:?}");
        Case::new(what, shape, move |tape| {
            let x = trained_rows(tape, columns);
            let active = tape.relu(x);
            let gated = tape.swiglu(active, x);
            let again = tape.swiglu(x, active);
            let also = tape.relu(x);
            let sum = tape.add(gated, again);
            let sum = tape.add(sum, also);
            // Read by two sums, of which one has to add to what the other shares.
            let sum = tape.add(sum, x);
            let sum = tape.add(x, sum);
            tape.mse(sum);
        })
    };
    vec![case(1, [1, 1]), case(37, [3, 7]), case(130, [2, 5])]
}

fn embedding() -> Vec<Case> {
    let case = |width: usize, vocabulary: usize, shape: [usize; 2], stored: Stored| {
        let what = format!("embedding of {vocabulary} × {width}, {stored:?}, {shape:?}");
        let record = move |tape: &mut Tape| {
            let table = tape.parameter("table", [vocabulary, width], Group::Matrix);
            let x = tape.embedding(Weight::Trained(table), width);
            let y = tape.embedding(Weight::Frozen(0), width);
            let sum = tape.add(x, y);
            // Tied: the table gets a gradient from two ops.
            let logits = tape.linear(sum, Weight::Trained(table), vocabulary);
            tape.cross_entropy(logits);
        };
        let case = Case::new(what, shape, record).over(vec![tensor("table", [vocabulary, width], stored)]);
        Case { vocabulary: vocabulary as u32, ..case }
    };
    vec![case(1, 2, [1, 3], Stored::F32), case(9, 7, [3, 11], Stored::F16), case(33, 70, [2, 5], Stored::Bf16)]
}

fn losses() -> Vec<Case> {
    let mut cases = Vec::new();
    for (vocabulary, shape) in [(1, [1, 2]), (3, [2, 5]), (64, [1, 7]), (100, [3, 5]), (256, [1, 9])] {
        let what = format!("cross_entropy of {vocabulary} tokens, {shape:?}");
        let case = Case::new(what, shape, move |tape| {
            let logits = trained_rows(tape, vocabulary);
            tape.cross_entropy(logits);
        });
        cases.push(Case { vocabulary: vocabulary as u32, ..case });
    }
    // Every logit stands there twice, so that the largest may stand before the target's, in any share of the row.
    let (half, columns) = (15, 4);
    let mut twins = normal("twins", 1.0, half * columns);
    let mirrored: Vec<f32> = twins.chunks(columns).rev().flatten().copied().collect();
    twins.extend(mirrored);
    let twins = Tensor { name: "twins".to_owned(), shape: [2 * half, columns], data: Data::F32(twins) };
    let case = Case::new("cross_entropy of twins".to_owned(), [4, 64], move |tape| {
        let x = trained_rows(tape, columns);
        let logits = tape.linear(x, Weight::Frozen(0), 2 * half);
        tape.cross_entropy(logits);
    });
    cases.push(Case { vocabulary: 2 * half as u32, ..case.over(vec![twins]) });
    for (outputs, shape) in [(1, [1, 1]), (7, [2, 9])] {
        let what = format!("mse of {outputs} outputs, {shape:?}");
        cases.push(Case::new(what, shape, move |tape| {
            let y = trained_rows(tape, outputs);
            tape.mse(y);
        }));
    }
    cases
}

/// Two values of a model, with themselves or with a code, of which the second's sums stand behind the first's.
fn moments() -> Vec<Case> {
    let case = |[inputs, other]: [usize; 2], codes: Option<usize>, shape: [usize; 2]| {
        let what = format!("moments of {inputs} and {other} columns, codes {codes:?}, {shape:?}");
        let record = move |tape: &mut Tape| {
            let x = trained_rows(tape, inputs);
            let y = tape.linear(x, Weight::Frozen(0), other);
            tape.observe(x, "x");
            tape.observe(y, "y");
        };
        let case = Case::new(what, shape, record).over(vec![tensor("w", [other, inputs], Stored::F32)]);
        Case { purpose: Some(Purpose::Moments(codes)), ..case }
    };
    vec![
        case([1, 3], None, [1, 1]),
        case([7, 5], None, [2, 9]),
        case([63, 70], None, [1, 35]),
        case([5, 130], Some(1), [3, 7]),
        case([9, 40], Some(66), [2, 20]),
    ]
}

fn optimizers() -> Vec<Case> {
    let case = |name: &str, optimizer: Optimizer, width: usize| {
        let what = format!("{name} on {width} × {width}");
        let record = move |tape: &mut Tape| {
            let x = trained_rows(tape, width);
            let gain = tape.parameter("gain", [1, width], Group::Gain);
            let x = tape.rms_norm(x, Weight::Trained(gain), 1e-5);
            let y = tape.lora_linear(x, Weight::Frozen(0), width, 2, "adapter");
            tape.mse(y);
        };
        let case = Case::new(what, [1, 3], record).over(vec![tensor("w", [width, width], Stored::F32)]);
        Case { optimizer, ..case }
    };
    vec![
        case("adamw", ADAMW, 90),
        case("adamw without decay of the mean", Optimizer::AdamW { beta1: 0.0, beta2: 0.999, epsilon: 1e-8 }, 5),
        case("sgd", Optimizer::Sgd { momentum: 0.9 }, 11),
        case("sign_sgd", Optimizer::SignSgd, 11),
        // So many gradients that the sums over their blocks are more than a workgroup's.
        Case::new("adamw on 530 × 530".to_owned(), [1, 2], |tape| {
            let x = trained_rows(tape, 530);
            let matrix = tape.parameter("matrix", [530, 530], Group::Matrix);
            let y = tape.linear(x, Weight::Trained(matrix), 530);
            tape.mse(y);
        }),
    ]
}

/// Adapters of ranks that fill no tile, between what belongs to none, and ones whose outputs are hardly more than the rank.
fn preconditioners() -> Vec<Case> {
    let case = |preconditioner: Preconditioner, [inputs, outputs]: [usize; 2], rank: usize| {
        let what = format!("precondition {inputs} → {outputs} of rank {rank} by {preconditioner:?}");
        let record = move |tape: &mut Tape| {
            let x = trained_rows(tape, inputs);
            let y = tape.lora_linear(x, Weight::Frozen(0), outputs, rank, "first");
            let gain = tape.parameter("gain", [1, outputs], Group::Gain);
            let y = tape.rms_norm(y, Weight::Trained(gain), 1e-5);
            let z = tape.lora_linear(y, Weight::Frozen(1), 2 * rank + 3, rank, "second");
            tape.mse(z);
        };
        let base = vec![tensor("w", [outputs, inputs], Stored::F32), tensor("v", [2 * rank + 3, outputs], Stored::F32)];
        let case = Case::new(what, [2, 3], record).over(base);
        Case { optimizer: Optimizer::Sgd { momentum: 0.5 }, preconditioner: Some(preconditioner), ..case }
    };
    let (riemannian, unit) = (Preconditioner::Riemannian, Preconditioner::NoraPlus);
    let small = [riemannian, unit].into_iter().flat_map(|kind| [case(kind, [7, 5], 1), case(kind, [21, 34], 3)]);
    // More of a rank than a workgroup has invocations, too.
    small.chain([case(riemannian, [70, 41], 9), case(unit, [70, 41], 17), case(unit, [90, 140], 66)]).collect()
}

/// Rows of features through a trained matrix: whatever reads them has a gradient to give.
fn trained_rows(tape: &mut Tape, columns: usize) -> Value {
    let matrix = tape.parameter("rows", [columns, 4], Group::Matrix);
    let x = tape.features(4);
    tape.linear(x, Weight::Trained(matrix), columns)
}

fn tensor(name: &str, shape: [usize; 2], stored: Stored) -> Tensor {
    let mut values = normal(name, 1.0 / (shape[1] as f32).sqrt(), shape[0] * shape[1]);
    // Halves below their smallest normal number are weights like any other.
    for (index, value) in values.iter_mut().enumerate() {
        if index % 11 == 7 {
            *value *= 1e-5;
        }
    }
    let data = match stored {
        Stored::F32 => Data::F32(values),
        Stored::F16 => Data::F16(values.into_iter().map(f16::from_f32).collect()),
        Stored::Bf16 => Data::Bf16(values.into_iter().map(bf16::from_f32).collect()),
    };
    Tensor { name: name.to_owned(), shape, data }
}
