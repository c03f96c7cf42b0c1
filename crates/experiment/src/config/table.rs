//! Every setting of an experiment in one row of a table: its type, its check, its words, its flag and its place in the page's form.
//!
//! From the rows follow [`Experiment`] with its merging, [`Resolved`] with its checks, [`KEYS`] and [`FLAGS`], and from those TOML, links, command lines
//! and the form. A setting that needs no more than a range takes one row.

use std::num::NonZeroUsize;

use serde::{Deserialize, Serialize};

use crate::config::bytes::Bytes;
use crate::config::error::ExperimentError;
use crate::config::experiment::{Seeds, one_or_many, rates, text_or_number};
use crate::config::keys::{Flag, Key};
use crate::config::names::{Preconditioner, Quantize, Scaling};
use crate::config::pattern::{OfModules, alphas, ranks};
use crate::config::resolved::{Base, Data, Optimizer};
use crate::config::schedule::Schedule;
use crate::config::scheme_option::SchemeOption;
use crate::config::{
    check::{
        FromText, Given, Listed, Written, count, decay, evaluate_every, layers_pattern, limit, listed, not_negative,
        positive, refused, switch, whole,
    },
    data::{Fields, HeldOut},
};

/// A row: attributes of the field, its name and type; after `=>` the type of the checked value and its check, if it has one of its own; then what its
/// [`Key`] and its [`Flag`] say.
macro_rules! settings {
    ($($(#[$attribute:meta])* $name:ident($given:ty $(=> $resolved:ty, $check:expr)?):
        needs: $needs:literal, example: $example:literal $(, default: $default:literal)?,
        about: $about:literal, source: $source:literal, form: $form:literal,
        flag: $value:literal $names:tt under $heading:literal, $help:literal;
    )+) => {
        /// The settings someone gave, in a file or by flags. A setting that is `None` takes its default in
        /// [`resolve`](Experiment::resolve), which also checks the rest.
        ///
        /// Lists may be written as a single value: `schemes = "init-a"` is `schemes = ["init-a"]`.
        #[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Experiment {
            $(#[doc = $help] $(#[doc = concat!("(default ", $default, ").")])? $(#[$attribute])* pub $name: Option<$given>,)+
            /// True if the learning rates are to be searched for (`learning_rates = "auto"`). Whoever can search takes this away before
            /// [`resolve`](Experiment::resolve), which wants a list.
            #[serde(skip)]
            pub searches: bool,
        }

        /// A checked experiment, made by [`Experiment::resolve`]: every setting has a value, and every value is right.
        ///
        /// [`KEYS`] says what each must be. No list has a value twice, and schemes, learning rates and seeds have at least one. No target modules are all
        /// that the model has (see [`Resolved::targets`]), no largest gradient norm does not clip, and no limit of the machine is none.
        #[derive(Clone, Debug, PartialEq, Serialize)]
        pub struct Resolved {
            $($(#[doc = $help] pub $name: $resolved,)?)+
        }

        impl Experiment {
            /// The settings of `over`, and of the rest those of `self`, but for [`searches`](Self::searches).
            pub(crate) fn laid_under(self, over: Self) -> Self {
                Self { $($name: over.$name.or(self.$name),)+ searches: self.searches }
            }

            /// Sets the setting of that name from the text of its flag.
            ///
            /// # Errors
            /// The allowed values, if the text is not one of them or there is no such setting.
            pub fn set(&mut self, name: &str, text: &str) -> Result<(), String> {
                match name {
                    $(stringify!($name) => self.$name = Some(FromText::from_text(text, $needs)?),)+
                    _ => return Err(format!("there is no setting `{name}`")),
                }
                Ok(())
            }

            /// Checks every setting by itself and against the others, in the order of the fields.
            pub(crate) fn checked(&self, schemes: &[&str]) -> Result<Resolved, ExperimentError> {
                let experiment = self;
                Ok(Resolved { $($($name: {
                    let value = experiment.$name.clone();
                    Given { name: stringify!($name), value, experiment, schemes }.by($check)?
                },)?)+ })
            }
        }

        impl Resolved {
            /// The settings that have a checked value of their own, written out.
            pub(crate) fn written(&self) -> Experiment {
                Experiment {
                    $($name: None$(.or(<$resolved as Written<$given>>::written(&self.$name)))?,)+
                    searches: false,
                }
            }
        }

        /// Every setting, in the order of [`Experiment`]'s fields.
        pub const KEYS: [Key; [$(stringify!($name)),+].len()] = [$(Key {
            name: stringify!($name),
            needs: $needs,
            example: concat!(stringify!($name), " = ", $example),
            default: concat!($($default)?),
            about: $about,
            source: $source,
            form: $form,
        }),+];

        /// The flag of every setting, in the same order.
        pub const FLAGS: [Flag; KEYS.len()] = [$(Flag {
            setting: stringify!($name),
            value: $value,
            names: &$names,
            heading: $heading,
            help: $help,
        }),+];
    };
}

settings! {
    base(String => Base, |given| given.experiment.resolve_base()):
        needs: "\"tiny\", \"nano\" or a path, in quotes", example: "\"tiny\"", default: "tiny",
        about: "The frozen model that every adapter sits on: nano has 32 thousand weights, tiny has 0.5 million.", source: "", form: "What is learnt",
        flag: "BASE" ["model"] under "What is trained", "The frozen model: tiny, nano, a Hugging Face folder, a safetensors or GGUF file, or a name like HuggingFaceTB/SmolLM2-135M that `hf download` has fetched";
    task(String):
        needs: "the name of a task, in quotes", example: "\"translation\"", default: "translation",
        about: "What is learnt: a dialect, answers about a very short story, or sums.", source: "", form: "What is learnt",
        flag: "TASK" [] under "What is trained", "What is learnt, a task over the little world: translation, questions or arithmetic";
    data(String => Data, |given| given.experiment.resolve_data()):
        needs: "a path, in quotes", example: "\"stories.jsonl\"",
        about: "A text of your own to learn instead of a task, or lines of {\"prompt\": …, \"completion\": …}.", source: "", form: "",
        flag: "FILE" [] under "What is trained", "What is learnt, from a file: UTF-8 text, or records in JSON lines, JSON, CSV, TSV or Parquet (text; prompt, completion; messages; instruction, output; question, answer; sentence, label); - reads from stdin";
    #[serde(deserialize_with = "one_or_many")]
    fields(Vec<String> => Fields, |given| given.experiment.resolve_fields()):
        needs: "a list of ROLE=FIELD, in quotes, each role once", example: "[\"prompt=question\", \"completion=reply\"]", default: "",
        about: "Which field of the records is the prompt, the completion, the text and so on, where their names do not say it.", source: "", form: "",
        flag: "ROLE=FIELD" [] under "What is trained", "Which field of the records is which, where their names do not say it, separated by commas: prompt=question,completion=reply; the columns of a table without a header are 1, 2, …";
    #[serde(deserialize_with = "text_or_number")]
    validation(String => HeldOut, |given| given.experiment.resolve_held_out()):
        needs: "a share between 0 and 1 such as 0.1 or 10%, or a path, in quotes", example: "\"10%\"", default: "0.1",
        about: "The share of the data that is held out to validate with, or a file of its own for that.", source: "", form: "",
        flag: "FILE|SHARE" [] under "What is trained", "What is validated with: a file, or a share of the data such as 0.1 or 5%";
    truncate(bool => bool, switch):
        needs: "true or false", example: "true", default: "false",
        about: "Whether examples that are longer than a sequence are cut at their end; they are refused otherwise.", source: "", form: "",
        flag: "" [] under "What is trained", "Cut examples that are longer than a sequence at their end";
    skip_long(bool => bool, switch):
        needs: "true or false", example: "true", default: "false",
        about: "Whether examples that are longer than a sequence are left out; they are refused otherwise.", source: "", form: "",
        flag: "" [] under "What is trained", "Leave examples out that are longer than a sequence";
    pack(bool => bool, switch):
        needs: "true or false", example: "true", default: "false",
        about: "Whether several examples share a sequence where they fit, without seeing each other: less padding, and more examples in a step.", source: "", form: "",
        flag: "" ["packing"] under "What is trained", "Put several examples into a sequence where they fit; they do not see each other";
    quantize(String => Quantize, |given| Quantize::named(&given.or_default())):
        needs: "\"none\", \"int8\" or \"nf4\"", example: "\"nf4\"", default: "none",
        about: "The bits that the frozen weights are kept in where adapters can sit; embeddings, head, norms and biases stay as they are stored.",
        source: "QLoRA: Dettmers et al. 2023, arXiv 2305.14314", form: "",
        flag: "NAME" [] under "What is trained", "Keeps the frozen weights of all linear maps that can carry adapters in few bits: int8, nf4 (QLoRA's 4 bits) or none; embeddings, head, norms and biases stay as they are stored";
    #[serde(deserialize_with = "one_or_many")]
    schemes(Vec<String> => Vec<String>, |given| given.experiment.resolve_schemes(given.schemes)):
        needs: "a list of names, in quotes", example: "[\"init-a\", \"init-b\"]", default: "init-a,init-b",
        about: "How an adapter starts: which of its two matrices is random, how large, and which is zero.", source: "Hayou, Ghosh, Yu 2024, arXiv 2406.08447", form: "Starts, rates, seeds",
        flag: "NAMES" ["scheme"] under "The grid", "The schemes to compare, separated by commas, or all; `loralab schemes` lists them";
    #[serde(deserialize_with = "one_or_many")]
    scheme_options(Vec<String> => Vec<SchemeOption>, |given| given.experiment.resolve_scheme_options(given.schemes)):
        needs: "a list of SCHEME.OPTION=NUMBER, in quotes, each option once", example: "[\"eva.rho=1\"]",
        about: "Numbers that a scheme has beside its rank, where they are not to be the source's; `loralab schemes` lists them.", source: "", form: "Starts, rates, seeds",
        flag: "OPTIONS" ["scheme-option"] under "The grid", "Numbers of schemes that are not to be their defaults, separated by commas: eva.rho=1,hrp.share=0.1; `loralab schemes` lists them";
    #[serde(deserialize_with = "rates")]
    learning_rates(Vec<f64> => Vec<f64>, |given| given.experiment.resolve_learning_rates()):
        needs: "a list of numbers above 0 and within the range of 32-bit floats (1.2e-38 to 3.4e38)", example: "[1e-3, 2e-3]", default: "1e-3 to 6.4e-2, doubling",
        about: "Each scheme is trained at each of these; the rate it wants is what sets the starts apart.", source: "Hayou, Ghosh, Yu 2024, arXiv 2406.08447", form: "Starts, rates, seeds",
        flag: "RATES" ["learning-rate", "lr"] under "The grid", "The learning rates of each scheme, separated by commas; or auto, which searches in a few rounds for each scheme's best and for where it breaks";
    seeds(Seeds => Vec<u64>, |given| given.experiment.resolve_seeds(given.schemes)):
        needs: "a list of whole numbers from 0 to 9007199254740991, or how many seeds to use", example: "[0, 1]", default: "2",
        about: "Each run is repeated with each seed, which draws the adapter and orders the data; their spread tells a difference from chance.", source: "", form: "Starts, rates, seeds",
        flag: "N" [] under "The grid", "How many seeds, or which: 3 means 0, 1 and 2; 4,7 means these two";
    rank(usize => usize, count):
        needs: "a whole number of at least 1", example: "8", default: "8",
        about: "The inner size r of an adapter: how many directions it can change in each weight.", source: "Hu et al. 2021, arXiv 2106.09685 §4.1", form: "Adapter",
        flag: "R" ["lora-r"] under "Adapters", "Inner size r of the adapters";
    alpha(f64 => f64, positive):
        needs: "a number above 0 and within the range of 32-bit floats (1.2e-38 to 3.4e38)", example: "16", default: "16",
        about: "The numerator of the scale that the adapter's product is multiplied by.", source: "Hu et al. 2021, arXiv 2106.09685 §4.1", form: "Adapter",
        flag: "ALPHA" ["lora-alpha"] under "Adapters", "Numerator of the adapters' scale";
    scaling(String => Scaling, |given| Scaling::named(&given.or_default())):
        needs: "\"classic\" or \"rslora\"", example: "\"classic\"", default: "classic",
        about: "classic scales by α/r; rslora by α/√r, which keeps large ranks from learning less.", source: "Kalajdzievski 2023, arXiv 2312.03732", form: "Adapter",
        flag: "NAME" [] under "Adapters", "classic divides alpha by r, rslora by the root of r";
    lora_dropout(f64 => f64, decay):
        needs: "a number from 0 to below 1 that is still below 1 as a 32-bit float", example: "0.05", default: "0",
        about: "The share of an adapter's input that is left out at random in each training step.", source: "Srivastava et al. 2014, JMLR 15; Hugging Face PEFT, LoraConfig.lora_dropout", form: "Adapter",
        flag: "P" ["dropout"] under "Adapters", "Share of the adapters' inputs that is dropped at random while training";
    #[serde(deserialize_with = "one_or_many")]
    target_modules(Vec<String> => Option<Vec<String>>, |given| given.experiment.resolve_modules()):
        needs: "a list of names, in quotes", example: "[\"q_proj\", \"v_proj\"]", default: "all-linear",
        about: "The weights of every layer that carry an adapter: names, the ends of names, or one regular expression.", source: "Hugging Face PEFT, LoraConfig.target_modules", form: "Adapter",
        flag: "NAMES" [] under "Adapters", "The linear maps that carry an adapter: names or ends of names separated by commas, such as q_proj,v_proj; a regular expression of full names; or all-linear";
    #[serde(deserialize_with = "one_or_many")]
    exclude_modules(Vec<String> => Listed<String>, listed):
        needs: "a list of names, in quotes, or one regular expression", example: "[\"o_proj\"]",
        about: "Weights that carry no adapter although `target_modules` names them.", source: "Hugging Face PEFT, LoraConfig.exclude_modules", form: "",
        flag: "NAMES" [] under "Adapters", "Of these, the linear maps that carry no adapter, named in the same way";
    #[serde(deserialize_with = "one_or_many")]
    layers_to_transform(Vec<usize> => Listed<usize>, listed):
        needs: "a list of whole numbers of at least 0, each once", example: "[0, 1]", default: "all layers",
        about: "The layers whose weights carry adapters, by their index.", source: "Hugging Face PEFT, LoraConfig.layers_to_transform", form: "",
        flag: "LAYERS" [] under "Adapters", "The layers that carry adapters, counted from 0, separated by commas";
    #[serde(deserialize_with = "one_or_many")]
    layers_pattern(Vec<String> => Listed<String>, layers_pattern):
        needs: "a list of names, in quotes, beside `layers_to_transform`", example: "[\"layers\"]",
        about: "The names in front of a layer's index, for models that number other parts too.", source: "Hugging Face PEFT, LoraConfig.layers_pattern", form: "",
        flag: "NAMES" [] under "Adapters", "The names in front of a layer's index, for models that number other parts too";
    #[serde(deserialize_with = "one_or_many")]
    rank_pattern(Vec<String> => Vec<OfModules<usize>>, ranks):
        needs: "a list of NAME=RANK, in quotes, with ranks of at least 1 and each name once", example: "[\"q_proj=4\"]",
        about: "Modules whose adapters have a rank of their own.", source: "Hugging Face PEFT, LoraConfig.rank_pattern", form: "",
        flag: "PATTERN" [] under "Adapters", "Modules whose adapters have a rank of their own, separated by commas: q_proj=4,down_proj=16; a name is one's end or a regular expression of full names, and the first that fits counts";
    #[serde(deserialize_with = "one_or_many")]
    alpha_pattern(Vec<String> => Vec<OfModules<f64>>, alphas):
        needs: "a list of NAME=ALPHA, in quotes, with numbers above 0 within the range of 32-bit floats and each name once", example: "[\"q_proj=32\"]",
        about: "Modules whose adapters have an alpha of their own.", source: "Hugging Face PEFT, LoraConfig.alpha_pattern", form: "",
        flag: "PATTERN" [] under "Adapters", "Modules whose adapters have an alpha of their own, in the same way: q_proj=32";
    optimizer(String => Optimizer, |given| given.experiment.resolve_optimizer()):
        needs: "\"adamw\", \"sgd\" or \"sign_sgd\"", example: "\"adamw\"", default: "adamw",
        about: "The rule that turns gradients into steps: AdamW, plain gradient descent, or the sign of the gradient alone.",
        source: "Loshchilov, Hutter 2017, arXiv 1711.05101; Bernstein et al. 2018, arXiv 1802.04434", form: "Optimiser",
        flag: "NAME" [] under "Optimiser", "adamw, sgd or sign_sgd";
    beta1(f64):
        needs: "a number from 0 to below 1 that is still below 1 as a 32-bit float", example: "0.9", default: "0.9",
        about: "AdamW's memory of the gradient: 0.9 is about the last ten steps.", source: "Kingma, Ba 2014, arXiv 1412.6980 §2", form: "Optimiser",
        flag: "X" [] under "Optimiser", "AdamW: decay of the mean gradient";
    beta2(f64):
        needs: "a number from 0 to below 1 that is still below 1 as a 32-bit float", example: "0.999", default: "0.999",
        about: "AdamW's memory of the gradient's square, by which steps are divided.", source: "Kingma, Ba 2014, arXiv 1412.6980 §2", form: "Optimiser",
        flag: "X" [] under "Optimiser", "AdamW: decay of the mean squared gradient";
    epsilon(f64):
        needs: "a number above 0 and within the range of 32-bit floats (1.2e-38 to 3.4e38)", example: "1e-8", default: "1e-8",
        about: "Added to what AdamW divides by, so that a tiny gradient makes no huge step.", source: "Kingma, Ba 2014, arXiv 1412.6980 §2", form: "Optimiser",
        flag: "X" [] under "Optimiser", "AdamW: added to the root of the mean squared gradient";
    momentum(f64):
        needs: "a number from 0 to below 1 that is still below 1 as a 32-bit float", example: "0.9", default: "0",
        about: "How much of the last step gradient descent keeps.", source: "Sutskever et al. 2013, ICML", form: "Optimiser",
        flag: "X" [] under "Optimiser", "SGD: decay of the velocity";
    weight_decay(f64 => f64, not_negative):
        needs: "0, or a number above 0 and within the range of 32-bit floats (1.2e-38 to 3.4e38)", example: "0.01", default: "0",
        about: "Pulls the adapter towards zero a little at every step.", source: "Loshchilov, Hutter 2017, arXiv 1711.05101", form: "Optimiser",
        flag: "X" [] under "Optimiser", "Weight decay";
    learning_rate_ratio(f64 => f64, positive):
        needs: "a number above 0 and within the range of 32-bit floats (1.2e-38 to 3.4e38)", example: "16", default: "1",
        about: "How many times faster B learns than A.", source: "LoRA+: Hayou, Ghosh, Yu 2024, arXiv 2402.12354", form: "Optimiser",
        flag: "X" [] under "Optimiser", "Learning rate of B divided by that of A, as in LoRA+";
    preconditioner(String => Preconditioner, |given| Preconditioner::named(&given.or_default())):
        needs: "\"none\", \"riemannian\" or \"nora_plus\"", example: "\"none\"", default: "none",
        about: "Whether each factor's gradient is first divided by the other factor's own product, so that a step does not depend on how the two share their size.",
        source: "Zhang, Pilanci 2024, arXiv 2402.02347; NoRA+: Li et al. 2024, arXiv 2410.18965", form: "Optimiser",
        flag: "NAME" [] under "Optimiser", "Multiplies each factor's gradient by the inverse of the other factor's product: none, riemannian or nora_plus";
    max_grad_norm(f64 => Option<f64>, |given| not_negative(given).map(|norm| (norm > 0.0).then_some(norm))):
        needs: "a number above 0 and within the range of 32-bit floats (1.2e-38 to 3.4e38), or 0 for no clipping", example: "1.0", default: "1",
        about: "A run's gradient that is longer than this is cut to it; 0 lets it be.", source: "Pascanu, Mikolov, Bengio 2012, arXiv 1211.5063", form: "Optimiser",
        flag: "X" [] under "Optimiser", "Gradients of a run with a larger norm are scaled down to it; 0 turns that off";
    schedule(String => Schedule, |given| Schedule::named(&given.or_default())):
        needs: "\"linear\", \"constant\" or \"cosine\"", example: "\"linear\"", default: "linear",
        about: "How the learning rate comes down over the steps.", source: "Hugging Face Transformers, get_scheduler", form: "Optimiser",
        flag: "NAME" [] under "Optimiser", "How the learning rate changes: linear, constant or cosine";
    warmup_steps(usize => usize, whole):
        needs: "a whole number of at least 0", example: "10", default: "0",
        about: "Steps in which the learning rate first rises from zero.", source: "Goyal et al. 2017, arXiv 1706.02677 §2.2", form: "Optimiser",
        flag: "N" [] under "Optimiser", "Steps in which the learning rate rises from 0";
    steps(usize => usize, count):
        needs: "a whole number of at least 1", example: "200", default: "200",
        about: "Optimiser steps of every run.", source: "", form: "Length",
        flag: "N" ["max-steps", "iters"] under "Training", "Optimiser steps of each run";
    batch_size(usize => usize, count):
        needs: "a whole number of at least 1", example: "8", default: "8",
        about: "Sequences that a run sees in a pass; a step is one pass unless gradients are accumulated.", source: "", form: "Length",
        flag: "B" [] under "Training", "Sequences per step and run";
    gradient_accumulation(usize => usize, count):
        needs: "a whole number of at least 1", example: "4", default: "1",
        about: "Passes whose gradients are added up for one step: a batch so many times as large, in the memory of one.", source: "", form: "Length",
        flag: "N" ["gradient-accumulation-steps"] under "Training", "Batches whose gradients are added up for one step, the mean taken over the tokens of all";
    gradient_checkpointing(bool => bool, switch):
        needs: "true or false", example: "true", default: "false",
        about: "Whether each layer is computed again in the backward pass instead of being kept: the same results in less memory and about a third more time.",
        source: "Chen et al. 2016, arXiv 1604.06174", form: "",
        flag: "true|false" [] under "Training", "Computes each layer again in the backward pass instead of keeping it: less memory, about a third more time, the same results";
    #[serde(alias = "max_seq_length")]
    tokens(usize => usize, count):
        needs: "a whole number of at least 1", example: "64", default: "64",
        about: "Length of a sequence, in tokens; the shipped bases' tokens are bytes.", source: "", form: "Length",
        flag: "T" ["max-seq-length"] under "Training", "Tokens per sequence; the shipped bases' tokens are bytes. With the tokenizer of a `--model` it fits the examples of `--data`, up to 1024";
    evaluate_every(usize => usize, evaluate_every):
        needs: "a whole number of steps, or 0 for once at the end", example: "50", default: "50",
        about: "Steps between validations on held-out data; more of them give finer charts and take more time. With early stopping the default is 0, and runs are validated where that decides, too: after a twentieth of the steps and each doubling of it.", source: "", form: "Length",
        flag: "N" ["eval-steps"] under "Training", "Steps between validations; 0 validates only at the end. With `--stop-early` the default is 0, and runs are validated where that decides, too";
    diagnose_every(usize => usize, whole):
        needs: "a whole number of steps, or 0 for never", example: "10", default: "0",
        about: "Steps between diagnostics snapshots of the adapters: LoRA features, norms, the parts of a step.", source: "Hayou, Ghosh, Yu 2024, arXiv 2406.08447 §3", form: "Length",
        flag: "N" [] under "Training", "Steps between diagnostics snapshots of the adapters: norms, LoRA features, the parts of a step; they go to metrics.jsonl. 0 takes none";
    validation_examples(usize => usize, count):
        needs: "a whole number of at least 1", example: "128", default: "128",
        about: "Held-out examples in a validation.", source: "", form: "Length",
        flag: "N" [] under "Training", "Examples in a validation";
    stop_early(bool => bool, switch):
        needs: "true or false", example: "true", default: "false",
        about: "Ends a run at a validation that shows that it can no longer be the best of its scheme; the rates of a scheme are compared with each other only.",
        source: "Successive halving: Jamieson, Talwalkar 2016, arXiv 1502.07943; ASHA: Li et al. 2020, arXiv 1810.05934", form: "",
        flag: "true|false" [] under "The grid", "End runs that can no longer be the best of their scheme, at validations after a twentieth of the steps and each doubling of it; the default of `--learning-rates auto`, where `--stop-early=false` turns it off";
    precision(f64 => f64, not_negative):
        needs: "a number above 0 and within the range of 32-bit floats (1.2e-38 to 3.4e38), or 0 for every seed", example: "0.01", default: "0",
        about: "Half the width, in nats per token, that the 95 % interval of a scheme's best loss is to have: a search for learning rates gives its best rate and that rate's neighbours more seeds until then. 0 gives them every seed.",
        source: "", form: "",
        flag: "NATS" [] under "The grid", "With `--learning-rates auto`: give the best rate and its neighbours more seeds until the 95 % interval of the best loss is ± this many nats per token, or the seeds are used up; 0 gives them every seed";
    cohort(usize => Option<NonZeroUsize>, limit):
        needs: "a whole number of at least 1", example: "16", default: "as many as memory allows",
        about: "Most runs that are trained in one pass.", source: "", form: "",
        flag: "K" [] under "Machine", "Largest number of runs that are trained in one pass";
    memory(Bytes => Option<Bytes>, |given| match given.value { Some(Bytes(0)) => Err(refused("memory", 0)), memory => Ok(memory) }):
        needs: "a number of bytes of at least 1, with or without a unit (B, KiB, MiB, GiB, KB, MB, GB)", example: "\"2GiB\"", default: "half of what is free",
        about: "Most memory that a pass may take.", source: "", form: "",
        flag: "BYTES" [] under "Machine", "Memory to use at most, such as 2GiB";
    threads(usize => Option<NonZeroUsize>, limit):
        needs: "a whole number of at least 1", example: "4", default: "all",
        about: "Threads of the processor; a page has one.", source: "", form: "",
        flag: "N" [] under "Machine", "CPU threads; no result depends on them";
}
