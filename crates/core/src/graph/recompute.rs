//! Recomputation of layers, or gradient checkpointing: of a layer's forward pass only its input is kept, and the backward pass first computes the layer's
//! values again (Chen et al. 2016, *Training Deep Nets with Sublinear Memory Cost*, arXiv 1604.06174).
//!
//! The dispatches of the forward pass are replayed on the same operands, so loss and gradients keep every bit.

use std::{
    collections::{HashMap, HashSet},
    ops::Range,
};

use crate::graph::{
    memory::{Type, Value},
    ops::{Dispatch, Node},
};

/// The backward pass with the values of `layers`, ranges of `nodes`, computed again before they are read. `backward` has the node that each dispatch belongs
/// to, the last node first; `kept` are values that outlive the forward pass anyway. Values that are computed again are added to `types`.
pub fn recompute(
    nodes: &[Node],
    layers: &[Range<usize>],
    kept: &[Value],
    backward: Vec<(usize, Dispatch<Value>)>,
    types: &mut Vec<Type>,
) -> Vec<Dispatch<Value>> {
    let layer_of = |node: usize| layers.iter().position(|layer| layer.contains(&node));
    let mut passes: Vec<(Option<usize>, Vec<Dispatch<Value>>)> = vec![];
    for (node, dispatch) in backward {
        let layer = layer_of(node);
        match passes.last_mut() {
            Some((last, pass)) if *last == layer => pass.push(dispatch),
            _ => passes.push((layer, vec![dispatch])),
        }
    }
    let mut dispatches = vec![];
    for (layer, mut pass) in passes {
        if let Some(layer) = layer {
            let (replayed, copies) = replay(nodes, &layers[layer], kept, &pass, types);
            dispatches.extend(replayed);
            for value in pass.iter_mut().flat_map(|dispatch| &mut dispatch.reads) {
                *value = copies.get(value).copied().unwrap_or(*value);
            }
        }
        dispatches.extend(pass);
    }
    dispatches
}

/// The dispatches that compute again what `pass` reads of a layer, and the copy of each value that only the layer uses.
fn replay(
    nodes: &[Node],
    layer: &Range<usize>,
    kept: &[Value],
    pass: &[Dispatch<Value>],
    types: &mut Vec<Type>,
) -> (Vec<Dispatch<Value>>, HashMap<Value, Value>) {
    let others = nodes[..layer.start].iter().chain(&nodes[layer.end..]);
    let outside: HashSet<Value> = others.flat_map(|node| &node.reads).chain(kept).copied().collect();
    let own: HashSet<Value> = nodes[layer.clone()].iter().flat_map(|node| &node.writes).copied().collect();
    let inside = |value: &Value| own.contains(value) && !outside.contains(value);
    let mut needed: HashSet<Value> = pass.iter().flat_map(|dispatch| &dispatch.reads).copied().filter(inside).collect();
    let mut replayed: Vec<&Node> = vec![];
    for node in nodes[layer.clone()].iter().rev() {
        if node.writes.iter().any(|value| needed.contains(value)) {
            needed.extend(node.reads.iter().copied().filter(inside));
            replayed.push(node);
        }
    }
    let mut copies = HashMap::new();
    let mut dispatches = vec![];
    for node in replayed.into_iter().rev() {
        let mut dispatch = Dispatch::forward(node);
        for value in &mut dispatch.reads {
            *value = copies.get(value).copied().unwrap_or(*value);
        }
        for (value, _) in &mut dispatch.writes {
            let copy = Value(types.len());
            types.push(types[value.0]);
            if inside(value) {
                copies.insert(*value, copy);
            }
            *value = copy;
        }
        dispatches.push(dispatch);
    }
    (dispatches, copies)
}
