//! The teacher–student network of arXiv 2406.08447 (toy experiment): f(x) = W_out φ(u + B A φ(u)) with u = W_in x, φ = ReLU.
//!
//! The hidden matrix W_h is zero, so its product is omitted and the adapter is two trained linear maps. Without the added u every gradient would be
//! exactly zero. This form and the variances are our interpretation: the paper's text was not available.

use loralab_experiment::{Form, Readout};
use loralab_linalg::Stream;

use crate::graph::{
    memory::{Data, Tensor, Weight},
    tape::Tape,
};

/// Sizes of a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// Columns of x.
    pub inputs: usize,
    /// Width n of the hidden layer.
    pub width: usize,
    /// Rank R.
    pub rank: usize,
    /// Form of the network: with or without u added to B A φ(u).
    pub form: Form,
    /// Distribution of W_out.
    pub readout: Readout,
}

/// The frozen W_in, (n, inputs), entries N(0, 1/inputs), and W_out, (1, n), entries N(0, 1/n) or as `readout` defines.
pub fn weights(network: Network, seed: u64, name: &str) -> Vec<Tensor> {
    let Network { inputs, width, readout, .. } = network;
    let deviation = (inputs as f32).sqrt().recip();
    [("w_in", [width, inputs], deviation), ("w_out", [1, width], readout.deviation(width) as f32)]
        .map(|(part, shape, deviation)| {
            let mut data = vec![0.0; shape[0] * shape[1]];
            let name = format!("{name}.{part}");
            Stream::new(seed, &name).normal(deviation, &mut data);
            Tensor { name, shape, data: Data::F32(data.into()) }
        })
        .into()
}

/// Records the network with its squared error; the base must be the result of [`weights`]. Parameters are `hidden.lora_A.weight`, (R, n), and
/// `hidden.lora_B.weight`, (n, R).
pub fn teacher_student(tape: &mut Tape, network: Network) {
    let Network { inputs, width, rank, form, .. } = network;
    let [a, b] = tape.site("hidden", [width, width], rank);
    tape.label("hidden");
    let x = tape.features(inputs);
    let u = tape.linear(x, Weight::Frozen(0), None, width);
    let h = tape.relu(u);
    let z = tape.linear(h, Weight::Trained(a), None, rank);
    let v = tape.linear(z, Weight::Trained(b), None, width);
    let h = match form {
        Form::Residual => tape.add(u, v),
        Form::Plain => v,
    };
    tape.label("out");
    let h = tape.relu(h);
    let y = tape.linear(h, Weight::Frozen(1), None, 1);
    tape.mse(y);
}
