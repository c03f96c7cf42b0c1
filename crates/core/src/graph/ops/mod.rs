//! Ops, one file each. An op defines its forward pass, the dispatches of its gradient, and its kernels on the CPU and on a GPU.
//!
//! A [`Dispatch`] is one kernel launch: every device replays the same list. A value has the shape (N, columns): a row for each token of all runs
//! of a cohort, the runs that are trained together. Nothing here knows models or allocates while a step runs.

mod add;
mod attention;
mod bias;
mod cache;
mod cross_entropy;
pub mod dropout;
mod embedding;
mod geglu;
pub mod gelu;
mod layer_norm;
mod linear;
mod linear_cross_entropy;
mod lora_linear;
mod moments;
mod mse;
mod orthonormal;
mod relu;
mod reverse;
mod rms_norm;
mod rope;
mod split;
mod swiglu;
mod tanh;

pub use add::Add;
pub use attention::{Attend, Attention};
pub use bias::Bias;
pub use cache::Cache;
pub use cross_entropy::CrossEntropy;
pub use dropout::Dropout;
pub use embedding::Embedding;
pub use geglu::Geglu;
pub use gelu::Gelu;
pub use layer_norm::LayerNorm;
pub use linear::Linear;
pub use linear_cross_entropy::LinearCrossEntropy;
pub use lora_linear::LoraLinear;
use loralab_cpu::{Scalar, Store};
pub use moments::Moments;
pub use mse::Mse;
pub use orthonormal::Orthonormal;
pub use relu::Relu;
pub use reverse::{Node, Reverse};
pub use rms_norm::{Gain, Offset, RmsNorm};
pub use rope::{Rope, Rotary};
pub use split::Split;
pub use swiglu::Swiglu;
pub use tanh::Tanh;

use crate::graph::{
    memory::{Buffer, MicroBatch, Type, Value},
    shader::{Grid, Launch, Shader},
};

/// Rows and columns per workgroup of a matrix product.
const TILE: usize = 64;

/// The kernel of an op that a dispatch runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// The forward pass.
    Forward,
    /// The gradients of the op's operands.
    BackwardInput,
    /// The gradient of the trained weight.
    BackwardWeight,
    /// The gradients of an adapter's A and B, and of its hidden rows z = x Aᵀ.
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

/// One kernel launch over the rows of a cohort. Operands are [`Value`]s while a model is recorded, and [`Buffer`]s in a plan.
#[derive(Clone, Debug)]
pub struct Dispatch<V = Buffer> {
    /// The part of the model that it belongs to, e.g. `layers.0.self_attn.q_proj`.
    pub label: String,
    /// The op, with its sizes and weights.
    pub op: Op,
    /// The op's kernel to run.
    pub pass: Pass,
    /// Operands that it reads, in the order that the op's file defines.
    pub reads: Vec<V>,
    /// Operands that it writes; with [`Store::Add`] it also reads them, or leaves some of their rows as they are.
    pub writes: Vec<(V, Store)>,
    /// Types of the operands in `reads`, then of those in `writes`.
    pub types: Vec<Type>,
}

impl Dispatch<Value> {
    /// The forward dispatch of a recorded op.
    pub fn forward(node: &Node) -> Dispatch<Value> {
        // A cache keeps what it holds of other positions.
        let store = if matches!(node.op, Op::Cache(_)) { Store::Add } else { Store::Set };
        let writes = node.writes.iter().map(|&value| (value, store)).collect();
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
    /// The operands that it reads, then those that it writes.
    pub fn uses(&self) -> impl Iterator<Item = V> + '_ {
        self.reads.iter().copied().chain(self.writes.iter().map(|(value, _)| *value))
    }

    /// The operands of [`uses`](Dispatch::uses), each with its type.
    pub fn operands(&self) -> impl Iterator<Item = (V, Type)> + '_ {
        self.uses().zip(self.types.iter().copied())
    }

    /// The same dispatch with each operand replaced by `place` of it.
    pub fn placed<W>(self, place: impl Fn(V) -> W) -> Dispatch<W> {
        let Dispatch { label, op, pass, reads, writes, types } = self;
        let reads = reads.into_iter().map(&place).collect();
        let writes = writes.into_iter().map(|(value, store)| (place(value), store)).collect();
        Dispatch { label, op, pass, reads, writes, types }
    }

    /// True if it adds to the gradients of the run, beside what it writes.
    pub fn adds_gradients(&self) -> bool {
        matches!(self.pass, Pass::BackwardWeight | Pass::BackwardAdapter) || matches!(self.op, Op::Moments(_))
    }

    fn read<const COUNT: usize>(&self) -> [V; COUNT] {
        std::array::from_fn(|i| self.reads[i])
    }

    fn write<const COUNT: usize>(&self) -> [(V, Store); COUNT] {
        std::array::from_fn(|i| self.writes[i])
    }
}

/// The interface of an op.
pub(crate) trait Kernel {
    /// The name of this op in shaders, host, CPU kernels and tests.
    const NAME: &'static str;

    /// The shaders of this op.
    const SHADERS: &'static [Shader];

    /// Types of the values that the forward pass writes, the result first.
    fn outputs(&self) -> Vec<Type>;

    /// True if the forward pass uses trained weights.
    fn trains(&self) -> bool {
        false
    }

    /// Multiplications and additions of one dispatch, per row.
    fn flops_per_row(&self, pass: Pass) -> usize;

    /// Numbers of working memory that the CPU takes for a dispatch over `rows` rows: decoded weights, and products beside the operands. Small ones are not
    /// counted.
    fn working(&self, _rows: usize) -> usize {
        0
    }

    /// Appends the dispatches that compute the operands' gradients from the result's gradient.
    fn backward(&self, node: &Node, reverse: &mut Reverse);

    /// The reason why a GPU cannot run the op with these sizes, as the end of a sentence; `None` if it can.
    fn refusal(&self) -> Option<String> {
        None
    }

    /// The launches of one dispatch on a GPU, over the rows of all runs.
    fn launch(&self, dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch>;

    /// Computes one dispatch on one micro-batch.
    fn run<S: Scalar>(&self, dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>);
}

macro_rules! ops {
    ($($op:ident),*) => {
        /// All ops.
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
            /// The name of this op in shaders, host, CPU kernels and tests.
            pub fn name(&self) -> &'static str {
                match self { $(Op::$op(_) => <$op as Kernel>::NAME),* }
            }

            /// Types of the values that the forward pass writes, the result first.
            pub fn outputs(&self) -> Vec<Type> {
                match self { $(Op::$op(op) => op.outputs()),* }
            }

            /// True if the forward pass uses trained weights.
            pub fn trains(&self) -> bool {
                match self { $(Op::$op(op) => op.trains()),* }
            }

            /// Multiplications and additions of one dispatch, per row.
            pub fn flops_per_row(&self, pass: Pass) -> usize {
                match self { $(Op::$op(op) => op.flops_per_row(pass)),* }
            }

            /// Numbers of working memory that the CPU takes for a dispatch over `rows` rows.
            pub fn working(&self, rows: usize) -> usize {
                match self { $(Op::$op(op) => op.working(rows)),* }
            }

            /// Appends the dispatches that compute the operands' gradients from the result's gradient.
            pub fn backward(&self, node: &Node, reverse: &mut Reverse) {
                match self { $(Op::$op(op) => op.backward(node, reverse)),* }
            }

            /// The shaders of every op.
            pub fn shaders() -> impl Iterator<Item = &'static Shader> {
                [$(<$op as Kernel>::SHADERS),*].into_iter().flatten()
            }

            /// The reason why a GPU cannot run the op with these sizes, as the end of a sentence; `None` if it can.
            pub fn refusal(&self) -> Option<String> {
                match self { $(Op::$op(op) => op.refusal()),* }
            }

            /// The launches of one dispatch on a GPU, over the rows of all runs.
            pub fn launch(dispatch: &Dispatch, grid: &Grid<'_>) -> Vec<Launch> {
                match &dispatch.op { $(Op::$op(op) => op.launch(dispatch, grid)),* }
            }

            /// Computes one dispatch on one micro-batch of the CPU.
            pub fn run<S: Scalar>(dispatch: &Dispatch, micro_batch: &mut MicroBatch<'_, S>) {
                match &dispatch.op { $(Op::$op(op) => op.run(dispatch, micro_batch)),* }
            }
        }
    };
}

ops!(
    Add,
    Attention,
    Bias,
    Cache,
    CrossEntropy,
    Dropout,
    Embedding,
    Geglu,
    Gelu,
    LayerNorm,
    Linear,
    LinearCrossEntropy,
    LoraLinear,
    Moments,
    Mse,
    Orthonormal,
    Relu,
    RmsNorm,
    Rope,
    Split,
    Swiglu,
    Tanh
);
