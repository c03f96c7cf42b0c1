//! Initialisation schemes: the values of an adapter before its first step.
//!
//! A scheme is one [`Scheme`] value in one file, listed in [`ALL`]. Its [`Rule`] names its inputs, and it gets exactly those: nothing, the
//! layer's frozen weight or its leading triplets, or statistics of its inputs or its gradient over some batches. Its random draws depend on the layer's name
//! and the seed alone, so the same seed starts the same layer in the same way in
//! any model, any order and any cohort. Schemes that only draw have the same bits on every machine, and a GPU draws most of them itself. Those that decompose
//! do so here, in f64, which WGSL lacks, and round once. The exception is the randomised iterations: they multiply large matrices in f32, weights, inputs and
//! gradients on the device that trains (which also makes bases of the first two orthonormal), and agree across machines up to rounding. Schemes share draws
//! on purpose: two schemes that fill A with uniform numbers fill it
//! with the *same* numbers, and their runs differ in nothing but the scheme.

mod activation_shift;
mod calibration;
mod choice;
mod corda;
mod draw;
mod eva;
mod given;
mod hrp;
mod init_a;
mod init_ab;
mod init_b;
mod loftq;
mod lora_ga;
mod lora_one;
mod mica;
mod milora;
mod nora;
mod olora;
mod orthogonal;
mod peft;
mod pissa;
mod scheme;
mod sylvester;

pub use calibration::{Code, Components, InputMoments, KnownLayer, SeenLayer};
pub use choice::{AnyChoice, Choice, ChoiceError, Chosen, Domain, Value, check_options};
pub(crate) use draw::Factor;
pub use given::GIVEN;
pub(crate) use loftq::{quantised, rounds};
#[cfg(not(target_family = "wasm"))]
pub use loralab_linalg::use_threads;
pub use scheme::{Begins, Layer, Rule, Scheme, Sketch, Start, StartError, Trains};

/// Every scheme, in the order of listings.
pub static ALL: &[&Scheme] = &[
    &init_a::INIT_A,
    &init_a::INIT_A_KAIMING,
    &init_b::INIT_B,
    &init_b::INIT_B_KAIMING,
    &init_ab::INIT_AB,
    &init_ab::INIT_AB_SUBTRACT,
    &peft::DEFAULT,
    &peft::GAUSSIAN,
    &peft::FALSE,
    &orthogonal::ORTHOGONAL,
    &pissa::PISSA,
    &pissa::PISSA_NITER_4,
    &milora::MILORA,
    &olora::OLORA,
    &nora::NORA,
    &mica::MICA,
    &loftq::LOFTQ_NF4,
    &loftq::LOFTQ_INT8,
    &eva::EVA,
    &corda::CORDA_IPM,
    &corda::CORDA_KPM,
    &sylvester::SYLVESTER_PCA,
    &sylvester::SYLVESTER_LABELS,
    &activation_shift::ACTIVATION_SHIFT,
    &lora_ga::LORA_GA,
    &lora_ga::LORA_GA_PEFT,
    &lora_one::LORA_ONE,
    &hrp::HRP,
];

/// The scheme with this name.
///
/// # Errors
/// [`UnknownScheme`] if there is none; it names the nearest one.
pub fn find(name: &str) -> Result<&'static Scheme, UnknownScheme> {
    ALL.iter().copied().chain([&GIVEN]).find(|scheme| scheme.name == name).ok_or_else(|| UnknownScheme::new(name))
}

/// The error for a scheme name that does not exist.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no initialisation scheme \"{found}\"; {}the schemes are {}", self.suggestion(), names())]
pub struct UnknownScheme {
    /// The name that was given.
    pub found: String,
    /// The scheme with the most similar name, if one is similar.
    pub nearest: Option<&'static str>,
}

impl UnknownScheme {
    fn new(found: &str) -> Self {
        let wanted = found.to_ascii_lowercase().replace(['_', ' '], "-");
        let likeness = |scheme: &Scheme| strsim::normalized_damerau_levenshtein(&wanted, scheme.name);
        let nearest = ALL.iter().max_by(|x, y| likeness(x).total_cmp(&likeness(y)));
        Self {
            found: found.to_owned(),
            nearest: nearest.filter(|scheme| likeness(scheme) >= 0.5).map(|scheme| scheme.name),
        }
    }

    fn suggestion(&self) -> String {
        self.nearest.map_or_else(String::new, |name| format!("did you mean \"{name}\"? "))
    }
}

fn names() -> String {
    ALL.iter().map(|scheme| scheme.name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use std::{borrow::Cow, collections::HashSet};

    use loralab_experiment::SECOND_NAMES;
    use loralab_linalg::{Stream, from_rows, normal_matrix, randomised_svd, svd, to_rows};

    use super::*;

    const LAYER: Layer<'static> = Layer {
        name: "model.layers.0.self_attn.q_proj",
        inputs: 2048,
        outputs: 1024,
        rank: 64,
        scale: 2.0,
        chosen: &[],
    };

    fn start(name: &str, layer: &Layer<'_>, seed: u64) -> Start {
        begin(find(name).expect("a listed scheme"), layer, seed)
    }

    /// The start over a weight that belongs to the layer's name.
    fn begin(scheme: &Scheme, layer: &Layer<'_>, seed: u64) -> Start {
        let known = weight(layer);
        let weight = from_rows(&known, layer.outputs, layer.inputs);
        match scheme.rule {
            Rule::Product { rows, start } => {
                let rows = rows(layer, &known, seed);
                start(layer, &rows, &(&rows * weight))
            }
            Rule::Triplets { start, sketch } => {
                let stream = Stream::new(seed, layer.name);
                let triplets = randomised_svd(&weight.as_ref(), sketch.ranks * layer.rank, sketch.iterations, &stream);
                start(layer, &triplets.expect("finite")).expect("a start")
            }
            _ => scheme.start(layer, || Some(known), seed).expect("a start"),
        }
    }

    fn weight(layer: &Layer<'_>) -> Cow<'static, [f32]> {
        to_rows(normal_matrix(&Stream::new(0, layer.name), layer.outputs, layer.inputs).as_ref()).into()
    }

    fn only_draws(scheme: &Scheme) -> bool {
        matches!(scheme.rule, Rule::Fill(_) | Rule::Draw(_))
    }

    fn is_zero(values: &[f32]) -> bool {
        values.iter().all(|value| value.to_bits() == 0)
    }

    /// Checks mean, variance and kurtosis. The kurtosis distinguishes the distributions: 3 is normal, 1.8 uniform.
    fn assert_distribution(values: &[f32], variance: f64, kurtosis: f64) {
        let count = values.len() as f64;
        let moment = |power| values.iter().map(|&x| f64::from(x).powi(power)).sum::<f64>() / count;
        let (mean, second, fourth) = (moment(1), moment(2), moment(4));
        assert!(mean.abs() < 4.0 * (variance / count).sqrt(), "mean {mean}");
        assert!((second / variance - 1.0).abs() < 4.0 * ((kurtosis - 1.0) / count).sqrt(), "variance {second}");
        assert!((fourth / second.powi(2) / kurtosis - 1.0).abs() < 0.06, "fourth moment {fourth}");
    }

    #[test]
    fn init_a_is_normal_over_its_inputs() {
        let Start { a, b, frozen } = start("init-a", &LAYER, 1);
        assert_distribution(&a, 1.0 / 2048.0, 3.0);
        assert!(is_zero(&b) && frozen.is_none());
    }

    #[test]
    fn init_a_kaiming_is_uniform_over_its_inputs() {
        let Start { a, b, frozen } = start("init-a-kaiming", &LAYER, 1);
        assert_distribution(&a, 1.0 / (3.0 * 2048.0), 1.8);
        let bound = 1.0 / 2048f32.sqrt();
        assert!(a.iter().all(|value| value.abs() < bound));
        assert!(is_zero(&b) && frozen.is_none());
    }

    #[test]
    fn init_b_is_normal_over_the_rank() {
        let Start { a, b, frozen } = start("init-b", &LAYER, 1);
        assert_distribution(&b, 1.0 / 64.0, 3.0);
        assert!(is_zero(&a) && frozen.is_none());
    }

    #[test]
    fn init_b_kaiming_is_uniform_over_the_rank() {
        let Start { a, b, frozen } = start("init-b-kaiming", &LAYER, 1);
        assert_distribution(&b, 1.0 / (3.0 * 64.0), 1.8);
        assert!(b.iter().all(|value| value.abs() < 0.125));
        assert!(is_zero(&a) && frozen.is_none());
    }

    /// Both bounds use the inputs, B's too: not the rank, and not the outputs.
    #[test]
    fn init_ab_is_uniform_over_the_inputs_in_both_factors() {
        let Start { a, b, frozen } = start("init-ab", &LAYER, 1);
        assert_distribution(&a, 1.0 / (3.0 * 2048.0), 1.8);
        assert_distribution(&b, 1.0 / (3.0 * 2048.0), 1.8);
        assert!(frozen.is_none());
    }

    #[test]
    fn init_ab_subtract_freezes_its_own_start() {
        let plain = start("init-ab", &LAYER, 1);
        let subtracted = start("init-ab-subtract", &LAYER, 1);
        assert_eq!((&subtracted.a, &subtracted.b), (&plain.a, &plain.b));
        assert_eq!(subtracted.frozen, Some((plain.a, plain.b)));
    }

    #[test]
    fn second_names_are_of_the_same_start() {
        for (second, first) in SECOND_NAMES {
            assert_eq!(start(second, &LAYER, 1), start(first, &LAYER, 1));
        }
    }

    /// The deviation is 1/rank, not the variance, whatever the width.
    #[test]
    fn peft_gaussian_is_as_wide_as_the_rank_says() {
        let Start { a, b, .. } = start("peft-gaussian", &LAYER, 1);
        assert_distribution(&a, 1.0 / (64.0 * 64.0), 3.0);
        assert!(is_zero(&b));
    }

    #[test]
    fn peft_false_is_uniform_over_each_factors_own_inputs() {
        let Start { a, b, frozen } = start("peft-false", &LAYER, 1);
        assert_distribution(&a, 1.0 / (3.0 * 2048.0), 1.8);
        assert_distribution(&b, 1.0 / (3.0 * 64.0), 1.8);
        assert!(frozen.is_none());
    }

    #[test]
    fn orthogonal_factors_cancel_and_have_half_the_rank() {
        let layer = Layer { inputs: 96, outputs: 50, rank: 8, ..LAYER };
        let Start { a, b, frozen } = start("orthogonal", &layer, 1);
        let (a, b) = (from_rows(&a, 8, 96), from_rows(&b, 50, 8));
        assert!((&b * &a).norm_l2() < 1e-6 * a.norm_l2() * b.norm_l2() && frozen.is_none());
        for factor in [a.transpose(), b.as_ref()] {
            let s = svd(factor).expect("finite").s;
            assert!(s[3] > 0.3 && s[4] < 1e-6, "{s:?}");
        }
        // Entries of a row share one draw, so the sample is effectively smaller: only the mean square is checked.
        let wide = start("orthogonal", &LAYER, 1);
        for factor in [wide.a, wide.b] {
            let square = factor.iter().map(|x| f64::from(*x).powi(2)).sum::<f64>() / factor.len() as f64;
            assert!((200.0 * square - 1.0).abs() < 0.03, "{square}");
        }
        let odd = Layer { rank: 3, ..layer };
        let error = find("orthogonal").expect("listed").start(&odd, || None, 1).expect_err("3 is odd");
        assert_eq!(error, StartError::OddRank { scheme: "orthogonal", rank: 3 });
    }

    #[test]
    fn what_cannot_start_is_said() {
        let pissa = find("pissa").expect("listed");
        let words = |error: StartError| error.to_string();
        assert!(words(pissa.start(&LAYER, || None, 0).expect_err("no weight")).contains("the base has none there"));
        let layer = Layer { inputs: 3, outputs: 2, rank: 1, ..LAYER };
        let still = Layer { scale: 0.0, ..layer };
        assert!(words(pissa.start(&still, || Some(weight(&layer)), 0).expect_err("no scale")).contains("above 0"));
        let broken = || Some(vec![f32::NAN; 6].into());
        assert!(words(pissa.start(&layer, broken, 0).expect_err("not finite")).contains("does not converge"));
        let faint = Layer { scale: 1e-45, ..layer };
        let huge = || Some(vec![3e38; 6].into());
        let too_large = find("pissa").expect("listed").start(&faint, huge, 0).expect_err("too large");
        assert!(words(too_large).contains("beyond the range"));
    }

    #[test]
    fn a_scheme_that_asks_a_device_says_so_where_there_is_none() {
        for name in ["pissa-niter-4", "nora", "olora"] {
            let scheme = find(name).expect("listed");
            let error = scheme.start(&LAYER, || Some(weight(&LAYER)), 0).expect_err("no device");
            assert!(error.to_string().contains("needs a device"), "{error}");
        }
    }

    #[test]
    fn a_scheme_that_reads_data_says_so_where_there_are_none() {
        for scheme in ALL.iter().filter(|scheme| scheme.rule.reads_data()) {
            let error = scheme.start(&LAYER, || Some(weight(&LAYER)), 0).expect_err("no data");
            assert!(matches!(error, StartError::NoData { .. }), "{}", scheme.name);
            assert!(error.to_string().contains(&format!("starts from {}", scheme.rule.needs())), "{error}");
        }
    }

    #[test]
    fn schemes_share_their_draws() {
        let layer = Layer { inputs: 64, outputs: 64, rank: 4, ..LAYER };
        assert_eq!(start("init-a-kaiming", &layer, 3).a, start("init-ab", &layer, 3).a);
    }

    #[test]
    fn starts_fit_any_shape() {
        for (inputs, outputs, rank) in [(1, 1, 2), (1, 1, 1), (7, 3, 2), (5, 11, 3), (3, 4, 8)] {
            let layer = Layer { inputs, outputs, rank, ..LAYER };
            for scheme in ALL.iter().filter(|scheme| !scheme.rule.reads_data()) {
                if scheme.check(rank, 1.0).is_err() {
                    assert!(scheme.halves_rank && rank % 2 == 1, "{}", scheme.name);
                    continue;
                }
                let Start { a, b, frozen } = begin(scheme, &layer, 0);
                assert_eq!(frozen.is_some(), scheme.frozen_pair, "{}", scheme.name);
                assert_eq!((a.len(), b.len()), (rank * inputs, outputs * rank), "{}", scheme.name);
                assert!(a.iter().chain(&b).all(|value| value.is_finite()));
                if let Some((a_0, b_0)) = frozen {
                    assert_eq!((a_0.len(), b_0.len()), (a.len(), b.len()));
                }
            }
        }
    }

    #[test]
    fn names_and_seeds_give_other_numbers() {
        let other = Layer { name: "model.layers.1.self_attn.q_proj", ..LAYER };
        for scheme in ALL.iter().filter(|scheme| only_draws(scheme)) {
            let first = begin(scheme, &LAYER, 1);
            assert_eq!(first, begin(scheme, &LAYER, 1), "{}", scheme.name);
            assert_ne!(first, begin(scheme, &LAYER, 2), "{}", scheme.name);
            assert_ne!(first, begin(scheme, &other, 1), "{}", scheme.name);
        }
    }

    /// FNV-1a over the bits of every factor. These must never change: a published result identifies its start by the seed.
    #[test]
    fn golden_starts() {
        let layer = Layer { inputs: 48, outputs: 40, rank: 8, ..LAYER };
        let hashes = ALL.iter().filter(|scheme| only_draws(scheme)).map(|scheme| {
            let Start { a, b, frozen } = begin(scheme, &layer, 42);
            let (a_0, b_0) = frozen.unwrap_or_default();
            let bytes = [a, b, a_0, b_0].concat().into_iter().flat_map(f32::to_le_bytes);
            let hash = bytes.fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01B3)
            });
            (scheme.name, hash)
        });
        let golden = [
            ("init-a", 0x5858_19B3_2D16_749D),
            ("init-a-kaiming", 0x2E49_9DB6_1A65_0AA9),
            ("init-b", 0xB21F_5904_1048_DBF5),
            ("init-b-kaiming", 0xDD2E_557C_2771_F76C),
            ("init-ab", 0xB375_191B_43E4_2B87),
            ("init-ab-subtract", 0x0DC8_ACA5_166F_4E59),
            ("peft-default", 0x2E49_9DB6_1A65_0AA9),
            ("peft-gaussian", 0x1CD1_E52D_D9E5_D0AB),
            ("peft-false", 0xEB17_2D3A_ADBA_F328),
            ("orthogonal", 0xA71D_B9FD_5754_05A3),
        ];
        assert_eq!(hashes.collect::<Vec<_>>(), golden);
    }

    #[test]
    fn list_is_complete_and_in_order() {
        let names: HashSet<_> = ALL.iter().map(|scheme| scheme.name).collect();
        assert_eq!(names.len(), ALL.len());
        for scheme in ALL {
            assert!(std::ptr::eq(find(scheme.name).expect("a listed scheme"), *scheme));
            assert!(!scheme.about.contains('\n') && !scheme.source.is_empty());
        }
    }

    #[test]
    fn unknown_names_are_answered_with_the_nearest() {
        for (typed, nearest) in [
            ("init_a", "init-a"),
            ("Init-B", "init-b"),
            ("init-b-kaimng", "init-b-kaiming"),
            ("init-ab-substract", "init-ab-subtract"),
        ] {
            let error = find(typed).expect_err("no such scheme");
            assert_eq!(error.nearest, Some(nearest));
            let sentence = format!("there is no initialisation scheme \"{typed}\"; did you mean \"{nearest}\"?");
            assert!(error.to_string().starts_with(&sentence), "{error}");
        }
        assert_eq!(
            find("xylophone").expect_err("no such scheme").to_string(),
            "there is no initialisation scheme \"xylophone\"; the schemes are init-a, init-a-kaiming, init-b, \
             init-b-kaiming, init-ab, init-ab-subtract, peft-default, peft-gaussian, peft-false, orthogonal, pissa, \
             pissa-niter-4, milora, olora, nora, mica, loftq-nf4, loftq-int8, eva, corda-ipm, corda-kpm, \
             sylvester-pca, sylvester-labels, activation-shift, lora-ga, lora-ga-peft, lora-one, hrp"
        );
    }
}
