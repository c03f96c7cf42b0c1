//! The plans of the randomised decompositions: products with one matrix, and rows made orthonormal between them.

use crate::graph::{
    memory::{Group, Parameter, Weight},
    ops::{Linear, Op, Orthonormal, Pass},
    plan::Plan,
};

/// The randomised decomposition of W, (O, I), as far as it is large: Halko, Martinsson and Tropp 2011, arXiv 0909.4061, algorithms 4.4 and 5.1. From rows
/// of features Ωᵀ, (k, I), that were drawn at random, a sketch W Ω and so many power iterations, with rows made orthonormal after every product.
///
/// Observed are Qᵀ, (k, O), whose orthonormal rows nearly span the leading left singular vectors of W, and Qᵀ W, (k, I); predicted are orthonormal rows,
/// (k, I), with the span of the latter. A weight that is not frozen is all that the plan trains.
pub fn range(weight: Weight, [outputs, inputs]: [usize; 2], rows: usize, iterations: usize) -> Plan {
    let linear = Linear { inputs, outputs, weight };
    let orthonormal = |width| (Orthonormal { rows, width }.into(), Pass::Forward, width);
    let forth = [(Op::from(linear.clone()), Pass::Forward, outputs), orthonormal(outputs)];
    let back = [(linear.into(), Pass::BackwardInput, inputs), orthonormal(inputs)];
    let there_and_back = (0..=iterations).flat_map(|_| forth.iter().chain(&back)).cloned();
    let trained = match weight {
        Weight::Trained(span) => {
            vec![Parameter { name: "weight".to_owned(), shape: [outputs, inputs], group: Group::Matrix, span }]
        }
        Weight::Frozen(_) => vec![],
    };
    Plan::chain(there_and_back, inputs, rows, 2, trained)
}

/// A product with the frozen tensor `weight`, W: rows of features X, (N, O), are predicted to be X W, (N, I).
pub fn transposed_product(weight: usize, [outputs, inputs]: [usize; 2], rows: usize) -> Plan {
    let linear = Linear { inputs, outputs, weight: Weight::Frozen(weight) };
    Plan::chain([(linear.into(), Pass::BackwardInput, inputs)].into_iter(), outputs, rows, 0, vec![])
}

/// Rows of features, (N, I), are predicted as orthonormal rows with their span.
pub fn orthonormal(rows: usize, width: usize) -> Plan {
    Plan::chain([(Orthonormal { rows, width }.into(), Pass::Forward, width)].into_iter(), width, rows, 0, vec![])
}
