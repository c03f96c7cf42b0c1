//! Ops: one file each. An op says what a forward pass computes, which dispatches give its gradient, and how a lane runs them.
//!
//! A [`Dispatch`] is one kernel launch: the same list is replayed by every device. Values are (N, columns) over all runs of a cohort;
//! nothing here knows models, and nothing here allocates while a step runs.

mod add;
mod attention;
mod cross_entropy;
mod embedding;
mod linear;
mod lora_linear;
mod mse;
mod orthonormal;
mod relu;
mod reverse;
mod rms_norm;
mod rope;
mod swiglu;

pub use add::Add;
pub use attention::Attention;
pub use cross_entropy::CrossEntropy;
pub use embedding::Embedding;
pub use linear::Linear;
pub use lora_linear::LoraLinear;
use loralab_cpu::{Scalar, Store};
pub use mse::Mse;
pub use orthonormal::Orthonormal;
pub use relu::Relu;
pub use reverse::{Node, Reverse};
pub use rms_norm::RmsNorm;
pub use rope::Rope;
pub use swiglu::Swiglu;

use crate::graph::{
    memory::{Buffer, Lane, Type, Value},
    shader::{Grid, Launch, Shader},
};

/// Rows and columns of a workgroup of a matrix product.
const TILE: usize = 64;

/// Which of an op's kernels a dispatch runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// The op itself.
    Forward,
    /// The gradient of what the op read.
    BackwardInput,
    /// The gradient of a trained weight.
    BackwardWeight,
    /// The gradients of a LoRA pair, and of the pair's hidden rows.
    BackwardAdapter,
}

impl Pass {
    /// The name of the shader file and of the line in a printed plan.
    pub fn name(self) -> &'static str {
        match self {
            Pass::Forward => "forward",
            Pass::BackwardInput => "backward_input",
            Pass::BackwardWeight => "backward_weight",
            Pass::BackwardAdapter => "backward_adapter",
        }
    }
}

/// One kernel launch over the rows of a cohort. Its operands are values while a model is recorded, and buffers in a plan.
#[derive(Clone, Debug)]
pub struct Dispatch<V = Buffer> {
    /// The part of the model it belongs to, e.g. `layers.0.self_attn.q_proj`.
    pub label: String,
    /// The op, with everything that is known when the plan is made.
    pub op: Op,
    /// Which of its kernels.
    pub pass: Pass,
    /// What it reads, in the order the op's file gives.
    pub reads: Vec<V>,
    /// What it writes; [`Store::Add`] also reads.
    pub writes: Vec<(V, Store)>,
    /// Types of what it reads and then of what it writes.
    pub types: Vec<Type>,
}

impl Dispatch<Value> {
    /// The forward dispatch of a recorded op.
    pub fn forward(node: &Node) -> Dispatch<Value> {
        let writes = node.writes.iter().map(|&value| (value, Store::Set)).collect();
        Dispatch {
            label: node.label.clone(),
            op: node.op.clone(),
            pass: Pass::Forward,
            reads: node.reads.clone(),
            writes,
            types: vec![],
        }
    }
}

impl<V: Copy> Dispatch<V> {
    /// Everything it reads and then writes.
    pub fn uses(&self) -> impl Iterator<Item = V> + '_ {
        self.reads.iter().copied().chain(self.writes.iter().map(|(value, _)| *value))
    }

    /// The same, with the type of each.
    pub fn operands(&self) -> impl Iterator<Item = (V, Type)> + '_ {
        self.uses().zip(self.types.iter().copied())
    }

    /// The same dispatch on what `place` gives for each operand.
    pub fn placed<W>(self, place: impl Fn(V) -> W) -> Dispatch<W> {
        let Dispatch { label, op, pass, reads, writes, types } = self;
        let reads = reads.into_iter().map(&place).collect();
        let writes = writes.into_iter().map(|(value, store)| (place(value), store)).collect();
        Dispatch { label, op, pass, reads, writes, types }
    }

    fn read<const COUNT: usize>(&self) -> [V; COUNT] {
        std::array::from_fn(|i| self.reads[i])
    }

    fn write<const COUNT: usize>(&self) -> [(V, Store); COUNT] {
        std::array::from_fn(|i| self.writes[i])
    }
}

/// What every op provides.
pub(crate) trait Kernel {
    /// The word for this op in shaders, host, CPU kernels and tests.
    const NAME: &'static str;

    /// The shaders of this op.
    const SHADERS: &'static [Shader];

    /// Types of the values that the forward pass writes, the result first.
    fn outputs(&self) -> Vec<Type>;

    /// Whether the forward pass uses weights that are trained.
    fn trains(&self) -> bool {
        false
    }

    /// Multiplications and additions of one dispatch, for each row.
    fn flops_per_row(&self, pass: Pass) -> usize;

    /// Appends the dispatches that carry the gradient from the node's result to what it read.
    fn backward(&self, node: &Node, reverse: &mut Reverse);

    /// Why no GPU can run it with these sizes, as the end of a sentence.
    fn refusal(&self) -> Option<String> {
        None
    }

    /// What runs one dispatch on a GPU, over the rows of all runs.
    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch>;

    /// Computes one dispatch on one lane.
    fn run<S: Scalar>(&self, dispatch: &Dispatch, lane: &mut Lane<'_, S>);
}

macro_rules! ops {
    ($($op:ident),*) => {
        /// Every op there is.
        #[derive(Clone, Debug)]
        pub enum Op {
            $(#[allow(missing_docs, reason = "each op's own page says what it is")] $op($op)),*
        }

        $(impl From<$op> for Op {
            fn from(op: $op) -> Op {
                Op::$op(op)
            }
        })*

        impl Op {
            /// The word for this op in shaders, host, CPU kernels and tests.
            pub fn name(&self) -> &'static str {
                match self { $(Op::$op(_) => <$op as Kernel>::NAME),* }
            }

            /// Types of the values that the forward pass writes, the result first.
            pub fn outputs(&self) -> Vec<Type> {
                match self { $(Op::$op(op) => op.outputs()),* }
            }

            /// Whether the forward pass uses weights that are trained.
            pub fn trains(&self) -> bool {
                match self { $(Op::$op(op) => op.trains()),* }
            }

            /// Multiplications and additions of one dispatch, for each row.
            pub fn flops_per_row(&self, pass: Pass) -> usize {
                match self { $(Op::$op(op) => op.flops_per_row(pass)),* }
            }

            /// Appends the dispatches that carry the gradient from the node's result to what it read.
            pub fn backward(&self, node: &Node, reverse: &mut Reverse) {
                match self { $(Op::$op(op) => op.backward(node, reverse)),* }
            }

            /// The shaders of every op.
            pub fn shaders() -> impl Iterator<Item = &'static Shader> {
                [$(<$op as Kernel>::SHADERS),*].into_iter().flatten()
            }

            /// Why no GPU can run it with these sizes, as the end of a sentence.
            pub fn refusal(&self) -> Option<String> {
                match self { $(Op::$op(op) => op.refusal()),* }
            }

            /// What runs one dispatch on a GPU, over the rows of all runs.
            pub fn launch(dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
                match &dispatch.op { $(Op::$op(op) => op.launch(dispatch, grid)),* }
            }

            /// Computes one dispatch on one lane of the CPU.
            pub fn run<S: Scalar>(dispatch: &Dispatch, lane: &mut Lane<'_, S>) {
                match &dispatch.op { $(Op::$op(op) => op.run(dispatch, lane)),* }
            }
        }
    };
}

ops!(Add, Attention, CrossEntropy, Embedding, Linear, LoraLinear, Mse, Orthonormal, Relu, RmsNorm, Rope, Swiglu);
