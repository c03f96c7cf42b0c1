//! Ends of a model: its loss, and the head of a language model with it.

use super::Tape;
use crate::graph::{
    memory::{InputName, Value, Weight},
    ops::{CrossEntropy, Linear, LinearCrossEntropy, Mse, Op},
    recording::Results,
};

/// Tokens of a vocabulary whose logits exist at a time, if there are more: wide enough for full matrix-product speed, no wider than other activations.
pub const CHUNK: usize = 2048;

impl Tape {
    /// Ends the model with the cross-entropy of `logits` against the step's targets.
    pub fn cross_entropy(&mut self, logits: Value) {
        let [targets, weights] = [InputName::Targets, InputName::Weights].map(|name| self.input(name, 1));
        let loss = self.push(CrossEntropy { vocabulary: self.columns(logits) }, vec![logits, targets, weights]);
        let answers = self.nodes.last().map(|node| node.writes[2]);
        self.results = Results { prediction: Some(logits), loss: Some(loss), answers };
    }

    /// Ends a language model: the logits of x over the output matrix `weight`, (vocabulary, columns of x), and their cross-entropy against the step's
    /// targets.
    ///
    /// A vocabulary of at most [`CHUNK`] tokens has its logits kept as a value, since they are no wider than other activations and computing them again in
    /// the backward pass would cost a product more. Of a larger one, only a chunk of the logits exists at a time; plans that keep the model's output
    /// compute all of them beside the loss.
    ///
    /// With a cap the logits are cap · tanh(x Wᵀ / cap), as Gemma 2 has them.
    pub fn head(&mut self, x: Value, weight: Weight, vocabulary: usize, cap: Option<f64>) {
        if vocabulary <= CHUNK {
            let logits = self.logits(x, Linear { inputs: self.columns(x), outputs: vocabulary, weight }, cap);
            self.cross_entropy(logits);
        } else {
            self.linear_cross_entropy(x, weight, vocabulary, CHUNK, cap);
        }
    }

    /// The logits of a head as a value.
    fn logits(&mut self, x: Value, head: Linear, cap: Option<f64>) -> Value {
        let logits = self.push(head, vec![x]);
        match cap {
            Some(cap) => self.softcap(logits, cap),
            None => logits,
        }
    }

    /// Ends the model with the cross-entropy of the logits x Wᵀ against the step's targets, `chunk` tokens of the vocabulary at a time. With a cap c the
    /// logits are c · tanh(x Wᵀ / c).
    pub fn linear_cross_entropy(
        &mut self,
        x: Value,
        weight: Weight,
        vocabulary: usize,
        chunk: usize,
        cap: Option<f64>,
    ) {
        let [targets, weights] = [InputName::Targets, InputName::Weights].map(|name| self.input(name, 1));
        let op = LinearCrossEntropy { width: self.columns(x), vocabulary, chunk, weight, cap };
        let loss = self.push(op, vec![x, targets, weights]);
        let answers = self.nodes.last().map(|node| node.writes[2]);
        self.results = Results { prediction: None, loss: Some(loss), answers };
    }

    /// Ends the model with the squared error of `prediction` against the step's expected rows.
    pub fn mse(&mut self, prediction: Value) {
        let outputs = self.columns(prediction);
        let (expected, weights) = (self.input(InputName::Expected, outputs), self.input(InputName::Weights, 1));
        let loss = self.push(Mse { outputs }, vec![prediction, expected, weights]);
        let answers = (outputs == 1).then_some(prediction);
        self.results = Results { prediction: Some(prediction), loss: Some(loss), answers };
    }

    /// Records the logits of a head that computes them in chunks, for a plan that keeps the model's output.
    pub(super) fn keep_output(&mut self) {
        let head = self.nodes.iter().rev().find_map(|node| match &node.op {
            Op::LinearCrossEntropy(head) => Some((Linear::from(head), node.reads[0], head.cap)),
            _ => None,
        });
        if let (None, Some((linear, x, cap))) = (self.results.prediction, head) {
            self.results.prediction = Some(self.logits(x, linear, cap));
        }
    }
}
