//! The initial values of a run: the starts of its layers, in a plan's layout.

use std::{borrow::Cow, sync::OnceLock};

use loralab_linalg::{Law, Stream};

use super::Run;
use crate::{
    device::{Device, RunSettings},
    graph::{
        memory::{Begin, Drawn, Fill, HeadTensor, Pairs, Site, Span, Tensor},
        plan::Plan,
    },
    lora::{
        init::{Layer, Rule, Start, StartError},
        peft::{Adapter, Module},
    },
};

/// The initial values of a run, before its first step.
#[derive(Clone, Debug, Default)]
pub struct Initial {
    trained: OnceLock<Vec<f32>>,
    frozen_pairs: OnceLock<Vec<f32>>,
    drawn: Option<Drawn>,
    /// The rank of each adapter. If the site's rank is higher, the rest is zeros, which stay zeros.
    pub ranks: Vec<usize>,
}

/// The layers of a plan's adapters, in its order, as input of a scheme that is asked for adapters of these ranks.
pub fn layers<'a>(plan: &'a Plan, rank: impl Fn(&Site) -> usize, run: &'a Run) -> impl Iterator<Item = Layer<'a>> {
    plan.sites.iter().map(move |site| Layer {
        name: &site.module,
        inputs: site.inputs,
        outputs: site.outputs,
        rank: rank(site),
        scale: (run.settings.scale * site.factor) as f32,
        chosen: &run.chosen,
    })
}

/// The start of a run over `base`.
///
/// # Errors
/// If the scheme can't start one of the layers, or needs a device to do so.
pub fn start(plan: &Plan, base: &[Tensor], run: &Run) -> Result<Initial, StartError> {
    let layers = || layers(plan, |site| site.rank, run);
    if let Rule::Fill(laws) = run.scheme.rule {
        layers().try_for_each(|layer| run.scheme.check(layer.rank, f64::from(layer.scale)))?;
        return Ok(Initial::drawn(plan, layers().map(|layer| laws(&layer)).collect(), run));
    }
    let start = |layer: Layer<'_>| run.scheme.start(&layer, || weight(base, &layer), run.seed);
    Ok(Initial::lay(plan, layers().map(start).collect::<Result<_, _>>()?, run.seed))
}

/// The frozen weight of a layer, (O, I) in row-major order, if the base has one.
pub fn weight<'a>(base: &'a [Tensor], layer: &Layer<'_>) -> Option<Cow<'a, [f32]>> {
    tensor(base, layer).map(|index| base[index].data.to_f32())
}

/// The index of a layer's weight among the tensors of the base.
pub fn tensor(base: &[Tensor], layer: &Layer<'_>) -> Option<usize> {
    let name = format!("{}.weight", layer.name);
    base.iter().position(|tensor| tensor.name == name && tensor.shape == [layer.outputs, layer.inputs])
}

impl Initial {
    /// The adapters, flat, in the order of the plan's parameters.
    pub fn trained(&self) -> &[f32] {
        self.trained.get_or_init(|| self.drawn.as_ref().map_or_else(Vec::new, Drawn::numbers))
    }

    /// The frozen second pairs, laid out as the adapters; empty if the plan has none. A scheme without a second pair gets pairs of zeros, which subtract
    /// exactly nothing.
    pub fn frozen_pairs(&self) -> &[f32] {
        self.frozen_pairs.get_or_init(|| self.drawn.as_ref().map_or_else(Vec::new, Drawn::frozen_pairs))
    }

    /// The adapters and the frozen pairs.
    pub fn numbers(&self) -> (Vec<f32>, Vec<f32>) {
        (self.trained().to_vec(), self.frozen_pairs().to_vec())
    }

    /// Loads the values into a run of a device. If all of them are random draws, the device draws them.
    pub fn put(&self, device: &mut dyn Device, run: usize, settings: RunSettings) {
        match &self.drawn {
            Some(drawn) => device.draw(run, drawn, settings),
            None => device.load(run, self.trained(), self.frozen_pairs(), settings),
        }
    }

    /// Draws every factor of a run from its law, and its head where no checkpoint has it; `laws` of A and B, in the order of the layers.
    fn drawn(plan: &Plan, laws: Vec<[Law; 2]>, run: &Run) -> Initial {
        let factors = plan.sites.iter().zip(laws).flat_map(|(site, laws)| {
            site.factors().into_iter().zip(site.names()).zip(laws).filter(|(_, law)| *law != Law::Zeros)
        });
        let fills = factors.map(|((Span { offset, len }, name), law)| Fill {
            offset,
            len,
            stream: Stream::new(run.seed, &name),
            law,
        });
        let pairs = match plan.frozen_pairs {
            true if run.scheme.frozen_pair => Pairs::Same,
            true => Pairs::Zeros,
            false => Pairs::None,
        };
        let of_head = |tensor: &HeadTensor| match tensor.begin {
            Begin::Drawn(law) if law != Law::Zeros => {
                let Span { offset, len } = tensor.span;
                Some(Fill { offset, len, stream: tensor.stream(run.seed), law })
            }
            _ => None,
        };
        let fills = fills.chain(plan.head.iter().filter_map(of_head)).collect();
        let drawn = Drawn { fills, len: plan.trained_len(), pairs };
        let ranks = plan.sites.iter().map(|site| site.rank).collect();
        if plan.head.iter().all(|tensor| matches!(tensor.begin, Begin::Drawn(_))) {
            return Initial { drawn: Some(drawn), ranks, ..Initial::default() };
        }
        // Values of a checkpoint are not drawn, so the host makes all of them.
        let mut trained = drawn.numbers();
        plan.put_head(run.seed, &mut trained);
        Initial { trained: trained.into(), frozen_pairs: drawn.frozen_pairs().into(), drawn: None, ranks }
    }

    /// The values of an adapter, in the order of the plan's sites; a module that the adapter does not have is zero. A head that it does not have begins as that
    /// of a run with this seed.
    pub fn of_adapter(plan: &Plan, adapter: &Adapter, seed: u64) -> Initial {
        let start = |site: &Site| {
            let own = adapter.modules.iter().find(|module| module.name == site.module);
            let Some(Module { a, b, factor, .. }) = own else { return Start { a: vec![], b: vec![], frozen: None } };
            // An adapter may have other scales than the plan.
            let b = b.iter().map(|x| (f64::from(*x) * factor / site.factor) as f32).collect();
            Start { a: a.clone(), b, frozen: None }
        };
        let mut initial = Initial::lay(plan, plan.sites.iter().map(start).collect(), seed);
        if let Some(trained) = initial.trained.get_mut() {
            for tensor in &plan.head {
                if let Some(saved) = adapter.saved.iter().find(|saved| saved.name == tensor.name) {
                    trained[tensor.span.range()].copy_from_slice(&saved.values);
                }
            }
        }
        initial
    }

    /// Lays out the starts of all layers, each padded with zeros to its site's rank, and behind them the head of a run with this seed.
    pub fn lay(plan: &Plan, starts: Vec<Start>, seed: u64) -> Initial {
        let (mut trained, mut frozen_pairs, mut ranks) = (vec![], vec![], vec![]);
        for (&Site { rank, inputs, outputs, .. }, start) in plan.sites.iter().zip(starts) {
            let own = start.rank(inputs);
            assert!(own <= rank, "a layer of rank {own} does not fit a plan of rank {rank}");
            fill(&mut trained, &start.a, &start.b, [own, rank, inputs, outputs]);
            if plan.frozen_pairs {
                let (a, b) = start.frozen.unwrap_or_else(|| (vec![0.0; own * inputs], vec![0.0; outputs * own]));
                fill(&mut frozen_pairs, &a, &b, [own, rank, inputs, outputs]);
            }
            ranks.push(own);
        }
        trained.resize(plan.trained_len(), 0.0);
        plan.put_head(seed, &mut trained);
        if plan.frozen_pairs {
            frozen_pairs.resize(plan.trained_len(), 0.0);
        }
        Initial { trained: trained.into(), frozen_pairs: frozen_pairs.into(), drawn: None, ranks }
    }
}

impl PartialEq for Initial {
    fn eq(&self, other: &Self) -> bool {
        self.ranks == other.ranks && self.numbers() == other.numbers()
    }
}

/// Appends A, (own, I), and B, (O, own), each padded with zeros to `rank`.
fn fill(flat: &mut Vec<f32>, a: &[f32], b: &[f32], [own, rank, inputs, outputs]: [usize; 4]) {
    flat.extend_from_slice(a);
    flat.resize(flat.len() + (rank - own) * inputs, 0.0);
    for row in 0..outputs {
        flat.extend_from_slice(&b[row * own..(row + 1) * own]);
        flat.resize(flat.len() + rank - own, 0.0);
    }
}
