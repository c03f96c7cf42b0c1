//! Small models around each op, at shapes that fit no tile, and broken kernels of each.
//!
//! A file has the cases of a group of ops and their mutants.

mod attention;
mod elementwise;
mod losses;
mod moments;
mod norms;
mod positions;
mod products;
mod updates;

use half::{bf16, f16};
use loralab_core::graph::{
    memory::{Data, Group, Quantiser, Tensor, Value, Weight},
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
    /// True if adapters have a frozen second pair.
    pub frozen_pairs: bool,
    /// Tokens are below this.
    pub vocabulary: u32,
    /// The frozen weights.
    pub base: Vec<Tensor>,
    /// The optimizer that trains it.
    pub optimizer: Optimizer,
    /// The purpose it is compiled for, if not training.
    pub purpose: Option<Purpose>,
    /// The preconditioner of its adapters' gradients, if any.
    pub preconditioner: Option<Preconditioner>,
    /// Records it.
    pub record: Box<dyn Fn(&mut Tape)>,
}

const ADAMW: Optimizer = Optimizer::AdamW { beta1: 0.9, beta2: 0.99, epsilon: 1e-6 };

/// The shader, what is replaced (every time it stands there), and by what. The cases whose names begin like the shader's are run.
pub type Mutant = (&'static str, &'static str, &'static str);

/// The precision that a frozen tensor is stored in.
#[derive(Clone, Copy, Debug)]
enum Stored {
    F32,
    F16,
    Bf16,
    Int8,
    Nf4,
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
        products::linear(),
        products::lora_linear(),
        products::dropout(),
        products::bias(),
        attention::attention(),
        attention::cached(),
        norms::rms_norm(),
        norms::head_norm(),
        norms::layer_norm(),
        norms::orthonormal(),
        positions::rope(),
        elementwise::elementwise(),
        elementwise::gelu(),
        elementwise::geglu(),
        elementwise::tanh(),
        elementwise::split(),
        positions::embedding(),
        losses::losses(),
        losses::linear_cross_entropy(),
        moments::moments(),
        updates::optimizers(),
        updates::preconditioners(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Every broken kernel that has cases.
pub fn mutants() -> impl Iterator<Item = &'static Mutant> {
    [
        products::MUTANTS,
        attention::MUTANTS,
        norms::MUTANTS,
        positions::MUTANTS,
        elementwise::MUTANTS,
        losses::MUTANTS,
        moments::MUTANTS,
        updates::MUTANTS,
    ]
    .into_iter()
    .flatten()
}

/// Rows of features through a trained matrix: whatever reads them has a gradient to give.
fn trained_rows(tape: &mut Tape, columns: usize) -> Value {
    let matrix = tape.parameter("rows", [columns, 4], Group::Matrix);
    let x = tape.features(4);
    tape.linear(x, Weight::Trained(matrix), None, columns)
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
        Stored::F32 | Stored::Int8 | Stored::Nf4 => Data::F32(values.into()),
        Stored::F16 => Data::F16(values.into_iter().map(f16::from_f32).collect()),
        Stored::Bf16 => Data::Bf16(values.into_iter().map(bf16::from_f32).collect()),
    };
    let tensor = Tensor { name: name.to_owned(), shape, data };
    match stored {
        Stored::Int8 => tensor.quantised(Quantiser::Int8),
        Stored::Nf4 => tensor.quantised(Quantiser::Nf4),
        _ => tensor,
    }
}
