//! An adapter merged into the weights of its base: W' = W + s B A.
//!
//! The sum is computed in f64 and rounded once to the format that W is stored in. It works on one stored tensor at a time, in the layout of its checkpoint,
//! which may be the transpose of the usual one, so that no model is ever held.

use std::{borrow::Cow, collections::HashMap};

use half::{bf16, f16};
use loralab_checkpoint::{Bytes, Element, Format, SharedSlice, Stored};

use super::peft::{Adapter, Module, SavedTensor};
use crate::{
    device::Workers,
    models::{Linear, Model},
};

/// An adapter, by the names of the tensors that it changes.
pub struct Merge<'a> {
    workers: Workers,
    scale: f64,
    modules: HashMap<String, Place<'a>>,
    classifier: Option<Classifier>,
}

/// The classifier of a merged model.
#[derive(Debug)]
pub struct Classifier {
    /// The model's `config.json`, with its classes.
    pub config: String,
    /// The classifier's tensors.
    pub tensors: Vec<Stored>,
}

/// A module of the adapter and the layout of its weight.
struct Place<'a> {
    module: &'a Module,
    is_transposed: bool,
}

/// The reasons that an adapter can't be merged.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// The adapter belongs to quantised weights.
    #[error(
        "the adapter belongs to a quantised copy of `{0}`, and merged into other weights it would be another model; use it unmerged"
    )]
    Quantised(String),
    /// The adapter has modules that were trained whole.
    #[error(
        "the adapter holds the whole module `{0}`, which the model has no such place for; choose the model that the adapter was made for"
    )]
    Saved(String),
    /// The model has no such module.
    #[error("the adapter's `{0}` is no linear layer of the model; choose the model that the adapter was made for")]
    NoModule(String),
    /// A module has other sizes in the model.
    #[error(
        "the adapter's `{module}` is for a layer of {found:?} outputs and inputs, but the model's has {needed:?}; choose the model that the adapter was made for"
    )]
    Shape {
        /// The module's name.
        module: String,
        /// Outputs and inputs of the adapter's module.
        found: [usize; 2],
        /// Outputs and inputs of the model's.
        needed: [usize; 2],
    },
    /// The checkpoint does not hold a module's weight.
    #[error("the model's files have no tensor `{0}`; they are incomplete or of another model")]
    NoTensor(String),
    /// A weight has another shape than the config says.
    #[error("the tensor `{tensor}` has the shape {found:?}, but the model's config needs {needed:?}")]
    Stored {
        /// The tensor's name.
        tensor: String,
        /// Its shape.
        found: Vec<usize>,
        /// The shape of the config.
        needed: [usize; 2],
    },
    /// A weight has a format that cannot be written.
    #[error("the tensor `{tensor}` is stored as {format}; only weights in F32, F16 and BF16 can be merged")]
    Format {
        /// The tensor's name.
        tensor: String,
        /// Its format.
        format: Format,
    },
    /// A merged weight leaves the range of its format.
    #[error(
        "merged, the tensor `{tensor}` holds a number that {format} cannot, at row {row}; the adapter has diverged, or the model must be stored in F32 first"
    )]
    NotFinite {
        /// The tensor's name.
        tensor: String,
        /// Its format.
        format: Format,
        /// The row as stored.
        row: usize,
    },
}

impl<'a> Merge<'a> {
    /// Finds the weight of each module of the adapter among a checkpoint's tensors, and checks their sizes and formats.
    ///
    /// # Errors
    /// If one is not there, does not fit, or cannot be written.
    pub fn new(model: &Model, stored: &[Stored], adapter: &'a Adapter) -> Result<Merge<'a>, MergeError> {
        if let Some(quantised) = &adapter.quantised_base {
            return Err(MergeError::Quantised(quantised.base.clone()));
        }
        let classifier = match &adapter.saved[..] {
            [] => None,
            saved => Some(Classifier::of(model, saved).ok_or_else(|| MergeError::Saved(saved[0].module().to_owned()))?),
        };
        let linears = model.linears();
        let tensors: HashMap<&str, &Stored> = stored.iter().map(|stored| (stored.name.as_str(), stored)).collect();
        let mut modules = HashMap::new();
        for module in &adapter.modules {
            let name = &module.name;
            let linear = linears.iter().find(|linear| linear.name == *name);
            let Some(Linear { inputs, outputs, .. }) = linear else { return Err(MergeError::NoModule(name.clone())) };
            let (found, needed) = ([module.outputs, module.inputs], [*outputs, *inputs]);
            if found != needed {
                return Err(MergeError::Shape { module: name.clone(), found, needed });
            }
            let weight = format!("{name}.weight");
            let is_transposed = model.is_transposed(&weight);
            let mut names = [weight.clone()].into_iter().chain(model.aliases(&weight));
            let Some(tensor) = names.find_map(|name| tensors.get(name.as_str())) else {
                return Err(MergeError::NoTensor(weight));
            };
            let needed = if is_transposed { [*inputs, *outputs] } else { needed };
            if tensor.shape != needed {
                let (tensor, found) = (tensor.name.clone(), tensor.shape.clone());
                return Err(MergeError::Stored { tensor, found, needed });
            }
            if !matches!(tensor.format, Format::F32 | Format::F16 | Format::Bf16) {
                return Err(MergeError::Format { tensor: tensor.name.clone(), format: tensor.format.clone() });
            }
            modules.insert(tensor.name.clone(), Place { module, is_transposed });
        }
        Ok(Merge { workers: Workers::new(None), scale: adapter.scale(), modules, classifier })
    }

    /// The classifier that was trained with the adapter, whole.
    pub fn classifier(&self) -> Option<&Classifier> {
        self.classifier.as_ref()
    }

    /// The merged elements of a tensor, in its format and layout; none if the adapter does not change it.
    ///
    /// # Errors
    /// [`MergeError::NotFinite`].
    pub fn of(&self, stored: &Stored) -> Result<Option<Bytes>, MergeError> {
        let Some(place) = self.modules.get(&stored.name) else { return Ok(None) };
        let merged = match stored.format {
            Format::F32 => self.sum::<f32>(place, stored, |x| x.into(), |x| x as f32),
            Format::F16 => self.sum::<f16>(place, stored, f16::to_f64, |x| f16::from_f32(to_odd(x))),
            Format::Bf16 => self.sum::<bf16>(place, stored, bf16::to_f64, |x| bf16::from_f32(to_odd(x))),
            _ => return Ok(None),
        };
        merged.map(Some).map_err(|row| {
            let (tensor, format) = (stored.name.clone(), stored.format.clone());
            MergeError::NotFinite { tensor, format, row }
        })
    }

    /// W + s B A in the layout of W, or the first row that is not finite.
    fn sum<T: Element>(
        &self,
        place: &Place<'_>,
        stored: &Stored,
        wide: impl Fn(T) -> f64 + Send + Sync,
        rounded: impl Fn(f64) -> T + Send + Sync,
    ) -> Result<Bytes, usize> {
        let Place { module, is_transposed } = place;
        let scale = self.scale * module.factor;
        let columns = if *is_transposed { module.outputs } else { module.inputs };
        let frozen = module.frozen.iter().map(|(a, b)| Pair::new(module, a, b, -scale, *is_transposed));
        let pairs: Vec<Pair<'_>> =
            [Pair::new(module, &module.a, &module.b, scale, *is_transposed)].into_iter().chain(frozen).collect();
        let weight = stored.elements::<T>();
        let mut merged = weight.to_vec();
        let mut rows: Vec<(&mut [T], bool)> = merged.chunks_exact_mut(columns).map(|row| (row, true)).collect();
        self.workers.for_each(&mut rows, |row, (weight, is_finite)| {
            let mut sums = vec![0.0_f64; columns];
            pairs.iter().for_each(|pair| pair.add_row(row, &mut sums));
            for (weight, sum) in weight.iter_mut().zip(&sums) {
                *weight = rounded(wide(*weight) + sum);
                *is_finite &= wide(*weight).is_finite();
            }
        });
        if let Some(row) = rows.iter().position(|(_, is_finite)| !is_finite) {
            return Err(row);
        }
        Ok(SharedSlice::from(merged).to_le_bytes())
    }
}

impl Classifier {
    /// These tensors as the model's classifier, of as many classes as they have; none if they do not fit the model.
    fn of(model: &Model, saved: &[SavedTensor]) -> Option<Self> {
        let fits = |model: &Model| {
            let head = model.head();
            let has = |(name, [rows, columns]): &(String, [usize; 2])| {
                saved.iter().any(|saved| saved.name == *name && saved.values.len() == rows * columns)
            };
            head.len() == saved.len() && head.iter().all(has)
        };
        let of_classes = |classes: usize| {
            let names: Vec<String> = match model.labels() {
                known if known.len() == classes => known.to_vec(),
                _ => (0..classes).map(|class| format!("LABEL_{class}")).collect(),
            };
            model.with_labels(&names).ok().filter(&fits)
        };
        let model = saved.iter().find_map(|tensor| of_classes(*tensor.shape.first()?))?;
        let tensors = saved.iter().map(|saved| Stored::of_f32(saved.name.clone(), saved.shape.clone(), &saved.values));
        Some(Self { config: model.to_json(), tensors: tensors.collect() })
    }
}

/// A product of factors in the layout of a weight: `left` (rows, R) times `above` (R, columns).
struct Pair<'a> {
    rank: usize,
    factor: f64,
    left: Cow<'a, [f32]>,
    above: Cow<'a, [f32]>,
}

impl<'a> Pair<'a> {
    /// `factor` times B A, or its transpose AᵀBᵀ.
    fn new(module: &Module, a: &'a [f32], b: &'a [f32], factor: f64, is_transposed: bool) -> Pair<'a> {
        let rank = a.len() / module.inputs.max(1);
        let (left, above) = match is_transposed {
            true => (transposed(a, rank, module.inputs).into(), transposed(b, module.outputs, rank).into()),
            false => (b.into(), a.into()),
        };
        Pair { rank, factor, left, above }
    }

    /// Adds a row of the product.
    fn add_row(&self, row: usize, sums: &mut [f64]) {
        let left = &self.left[row * self.rank..(row + 1) * self.rank];
        for (&left, above) in left.iter().zip(self.above.chunks_exact(sums.len())) {
            let factor = self.factor * f64::from(left);
            sums.iter_mut().zip(above).for_each(|(sum, &x)| *sum += factor * f64::from(x));
        }
    }
}

/// The number in f32, with the last bit set if it is not exact. Rounded to the nearest of 16 bits, that gives the nearest to the number itself, as a plain
/// rounding to f32 before does not (Boldo, Melquiond 2008, IEEE Transactions on Computers 57.4); `half` drops the last bits of an f64 instead.
fn to_odd(x: f64) -> f32 {
    let near = x as f32;
    if f64::from(near) == x || !near.is_finite() {
        return near;
    }
    let towards_zero = near.to_bits() - u32::from(f64::from(near).abs() > x.abs());
    f32::from_bits(towards_zero | 1)
}

/// The transpose of a (rows, columns) matrix.
fn transposed(matrix: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..columns).flat_map(|column| (0..rows).map(move |row| matrix[row * columns + column])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A GPT-2 of one layer, whose weights are stored transposed, and an adapter of rank 1 for two of its modules.
    fn gpt2() -> (Model, Adapter) {
        let said =
            r#"{"model_type":"gpt2","n_embd":2,"n_head":1,"n_layer":1,"n_inner":3,"n_positions":2,"vocab_size":4}"#;
        let module = |end: &str, inputs: usize, outputs: usize| Module {
            name: format!("transformer.h.0.{end}"),
            inputs,
            outputs,
            a: (1..=inputs).map(|x| x as f32).collect(),
            b: (1..=outputs).map(|x| 10.0 * x as f32).collect(),
            factor: 1.0,
            frozen: None,
        };
        let adapter = Adapter {
            base: String::new(),
            quantised_base: None,
            saved: vec![],
            rank: 1,
            alpha: 2.0,
            use_rslora: false,
            dropout: 0.0,
            target_modules: vec!["c_fc".to_owned(), "attn.c_proj".to_owned()],
            modules: vec![module("mlp.c_fc", 2, 3), module("attn.c_proj", 2, 2)],
        };
        (Model::from_json(said).expect("a config"), adapter)
    }

    fn weights() -> Vec<Stored> {
        let zeros = |name: &str, shape: [usize; 2]| {
            Stored::of_f32(name.to_owned(), shape.to_vec(), &vec![0.5; shape[0] * shape[1]])
        };
        // One by the name that it has in a network without its head.
        vec![zeros("transformer.h.0.mlp.c_fc.weight", [2, 3]), zeros("h.0.attn.c_proj.weight", [2, 2])]
    }

    #[test]
    fn a_transposed_weight_gets_the_transposed_product() {
        let ((model, mut adapter), weights) = (gpt2(), weights());
        let merged = |adapter: &Adapter, stored: &Stored| {
            let merge = Merge::new(&model, &weights, adapter).expect("an adapter of the model");
            let bytes = merge.of(stored).expect("finite")?;
            Stored { bytes, ..stored.clone() }.to_f32()
        };
        // (I, O): 1/2 + 2 · 10 o · i.
        assert_eq!(merged(&adapter, &weights[0]), Some(vec![20.5, 40.5, 60.5, 40.5, 80.5, 120.5]));
        assert_eq!(merged(&adapter, &weights[1]), Some(vec![20.5, 40.5, 40.5, 80.5]));
        assert_eq!(merged(&adapter, &Stored { name: "transformer.wte.weight".to_owned(), ..weights[0].clone() }), None);
        let module = &mut adapter.modules[0];
        module.frozen = Some((module.a.clone(), module.b.clone()));
        assert_eq!(merged(&adapter, &weights[0]), Some(vec![0.5; 6]), "the second pair is subtracted");
    }

    #[test]
    fn the_sum_is_rounded_once() {
        let (model, mut adapter) = gpt2();
        adapter.modules.truncate(1);
        // 1 + 2⁻⁸ is the middle of two neighbours in bf16, and 2⁻³⁰ more is above it; in f32 the sum would be the middle again, which rounds to the even 1.
        let module = &mut adapter.modules[0];
        (module.a, module.b, adapter.alpha) = (vec![1.0, 0.0], vec![2f32.powi(-8) + 2f32.powi(-30); 3], 1.0);
        let bytes: Bytes = [1.0_f32; 6].into_iter().flat_map(|x| bf16::from_f32(x).to_le_bytes()).collect();
        let stored = Stored { format: Format::Bf16, bytes, ..weights()[0].clone() };
        let merge = Merge::new(&model, std::slice::from_ref(&stored), &adapter).expect("an adapter of the model");
        let bytes = merge.of(&stored).expect("finite").expect("a weight of the adapter");
        let next = 1.0 + 2f32.powi(-7);
        assert_eq!(Stored { bytes, ..stored }.to_f32(), Some(vec![next, next, next, 1.0, 1.0, 1.0]));
    }

    #[test]
    fn an_adapter_of_another_model_is_refused() {
        let ((model, adapter), weights) = (gpt2(), weights());
        let refusal = |adapter: &Adapter, weights: &[Stored]| {
            Merge::new(&model, weights, adapter).err().map(|error| error.to_string()).unwrap_or_default()
        };
        let with = |change: &dyn Fn(&mut Adapter)| {
            let mut other = adapter.clone();
            change(&mut other);
            refusal(&other, &weights)
        };
        assert_eq!(refusal(&adapter, &weights), "");
        assert!(with(&|other| other.modules[0].name = "lm_head".to_owned()).contains("`lm_head` is no linear layer"));
        assert!(with(&|other| other.modules[0].outputs = 4).contains("[4, 2] outputs and inputs"));
        assert!(refusal(&adapter, &weights[1..]).contains("no tensor `transformer.h.0.mlp.c_fc.weight`"));
        let stored = |change: &dyn Fn(&mut Stored)| {
            let mut weights = weights.clone();
            change(&mut weights[0]);
            refusal(&adapter, &weights)
        };
        assert!(stored(&|weight| weight.shape = vec![3, 2]).contains("needs [2, 3]"));
        assert!(stored(&|weight| weight.format = Format::Other("I8".to_owned())).contains("stored as I8"));
    }

    #[test]
    fn a_number_beyond_the_format_is_refused() {
        let (model, mut adapter) = gpt2();
        adapter.modules.truncate(1);
        adapter.alpha = 1e4;
        let bytes: Bytes = [0_u8; 12].to_vec().into();
        let stored = Stored { format: Format::F16, bytes, ..weights()[0].clone() };
        let merge = Merge::new(&model, std::slice::from_ref(&stored), &adapter).expect("an adapter of the model");
        let error = merge.of(&stored).expect_err("beyond 65504").to_string();
        assert!(error.contains("that F16 cannot, at row 0"), "{error}");
    }
}
