//! Initialisation schemes: what an adapter is before its first step.
//!
//! A scheme is one [`Scheme`] value in one file, listed in [`ALL`]. It gives the start of one layer at a time from the
//! layer's name and the seed, so the same seed starts the same layer in the same way in any model, any order and any
//! cohort, with the same bits on every machine. Schemes share draws on purpose: two schemes that fill A with uniform
//! numbers fill it with the *same* numbers, and their runs differ in nothing but the scheme.

mod init_a;
mod init_ab;
mod init_b;

use loralab_linalg::Stream;

/// Every scheme, in the order in which they are listed to a person.
pub static ALL: &[&Scheme] = &[
    &init_a::INIT_A,
    &init_a::INIT_A_KAIMING,
    &init_b::INIT_B,
    &init_b::INIT_B_KAIMING,
    &init_ab::INIT_AB,
    &init_ab::INIT_AB_SUBTRACT,
];

/// An initialisation scheme.
#[derive(Debug)]
pub struct Scheme {
    /// The name a person types, such as `init-a`.
    pub name: &'static str,
    /// What it does, in one line.
    pub about: &'static str,
    /// The paper it comes from, with the place in it.
    pub source: &'static str,
    /// The start of one layer under a seed.
    pub start: fn(&Layer<'_>, seed: u64) -> Start,
}

impl Scheme {
    /// Whether starts of this scheme have a second, frozen pair; a scheme decides that alike for every layer.
    pub fn has_frozen_pair(&self) -> bool {
        let layer = Layer { name: "any", inputs: 2, outputs: 2, rank: 1, scale: 1.0 };
        (self.start)(&layer, 0).frozen.is_some()
    }
}

/// A linear layer y = x Wᵀ that an adapter is put on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Layer<'a> {
    /// The module's name in the model, such as `model.layers.0.self_attn.q_proj`.
    pub name: &'a str,
    /// Width of x, I.
    pub inputs: usize,
    /// Width of y, O.
    pub outputs: usize,
    /// Rank of the adapter, R.
    pub rank: usize,
    /// s in y = x Wᵀ + s·(x Aᵀ) Bᵀ.
    pub scale: f32,
}

/// An adapter before its first step.
#[derive(Clone, Debug, PartialEq)]
pub struct Start {
    /// A, (R, I).
    pub a: Vec<f32>,
    /// B, (O, R).
    pub b: Vec<f32>,
    /// A second pair (A₀, B₀) of the same shapes that is not trained and whose product is subtracted, for schemes
    /// with B·A ≠ 0 that nevertheless begin at the base model.
    pub frozen: Option<(Vec<f32>, Vec<f32>)>,
}

/// The scheme of this name.
///
/// # Errors
/// [`UnknownScheme`] if there is none; it names the nearest one.
pub fn find(name: &str) -> Result<&'static Scheme, UnknownScheme> {
    ALL.iter().copied().find(|scheme| scheme.name == name).ok_or_else(|| UnknownScheme::new(name))
}

/// There is no scheme of that name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no initialisation scheme \"{found}\"; {}the schemes are {}", self.suggestion(), names())]
pub struct UnknownScheme {
    /// The name that was asked for.
    pub found: String,
    /// The scheme whose name is most like it, if any is.
    pub nearest: Option<&'static str>,
}

impl UnknownScheme {
    fn new(found: &str) -> Self {
        let wanted = found.to_lowercase().replace(['_', ' '], "-");
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

/// One of the two factors of an adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Factor {
    A,
    B,
}

/// What schemes fill factors with.
impl Layer<'_> {
    fn zeros(&self, factor: Factor) -> Vec<f32> {
        let width = match factor {
            Factor::A => self.inputs,
            Factor::B => self.outputs,
        };
        vec![0.0; width * self.rank]
    }

    /// N(0, 1/`fan_in`): Kaiming's normal with gain 1.
    fn gaussian(&self, factor: Factor, seed: u64, fan_in: usize) -> Vec<f32> {
        let mut values = self.zeros(factor);
        self.stream(factor, seed).normal(root_of_inverse(fan_in), &mut values);
        values
    }

    /// U(±1/√`fan_in`): Kaiming's uniform with a = √5, of variance 1/(3·`fan_in`).
    fn kaiming_uniform(&self, factor: Factor, seed: u64, fan_in: usize) -> Vec<f32> {
        let mut values = self.zeros(factor);
        self.stream(factor, seed).uniform(root_of_inverse(fan_in), &mut values);
        values
    }

    /// The random numbers of a factor, named as its tensor is.
    fn stream(&self, factor: Factor, seed: u64) -> Stream {
        Stream::new(seed, &format!("{}.lora_{factor:?}.weight", self.name))
    }
}

/// 1/√n. Division and square root are exact to the last bit on every machine.
fn root_of_inverse(n: usize) -> f32 {
    (1.0 / n as f64).sqrt() as f32
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    const LAYER: Layer<'static> =
        Layer { name: "model.layers.0.self_attn.q_proj", inputs: 2048, outputs: 1024, rank: 64, scale: 2.0 };

    fn start(name: &str, layer: &Layer<'_>, seed: u64) -> Start {
        (find(name).expect("a listed scheme").start)(layer, seed)
    }

    fn is_zero(values: &[f32]) -> bool {
        values.iter().all(|value| value.to_bits() == 0)
    }

    /// Mean, variance and kurtosis. The kurtosis tells the distributions apart: 3 is normal, 1.8 uniform.
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
    fn schemes_share_their_draws() {
        let layer = Layer { inputs: 64, outputs: 64, rank: 4, ..LAYER };
        assert_eq!(start("init-a-kaiming", &layer, 3).a, start("init-ab", &layer, 3).a);
    }

    #[test]
    fn starts_fit_any_shape() {
        for (inputs, outputs, rank) in [(1, 1, 1), (7, 3, 2), (5, 11, 3)] {
            let layer = Layer { inputs, outputs, rank, ..LAYER };
            for scheme in ALL {
                let Start { a, b, frozen } = (scheme.start)(&layer, 0);
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
        for scheme in ALL {
            let first = (scheme.start)(&LAYER, 1);
            assert_eq!(first, (scheme.start)(&LAYER, 1), "{}", scheme.name);
            assert_ne!(first, (scheme.start)(&LAYER, 2), "{}", scheme.name);
            assert_ne!(first, (scheme.start)(&other, 1), "{}", scheme.name);
        }
    }

    /// FNV-1a over the bits of every factor. These must never change: a published result names its start by the seed.
    #[test]
    fn golden_starts() {
        let layer = Layer { inputs: 48, outputs: 40, rank: 8, ..LAYER };
        let hashes = ALL.iter().map(|scheme| {
            let Start { a, b, frozen } = (scheme.start)(&layer, 42);
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
             init-b-kaiming, init-ab, init-ab-subtract"
        );
    }
}
