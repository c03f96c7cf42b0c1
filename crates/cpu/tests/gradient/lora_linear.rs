use half::{bf16, f16};
use loralab_cpu::lora_linear::{Pair, Shape, backward_adapter, backward_input, forward};
use loralab_cpu::{Packed, Scalar, Scratch, Store, Threads, Tracked, Weights, linear};

use crate::{
    Computation, assert_derivative, assert_within_bound, draw, inner,
    packed::{packings, words},
    poisoned,
};

const SCALE: f64 = 1.75;
const SHAPES: [Shape; 5] =
    [shape(1, 1, 1, 1), shape(3, 5, 7, 2), shape(8, 8, 8, 8), shape(9, 17, 33, 4), shape(130, 65, 33, 16)];

const fn shape(rows: usize, inputs: usize, outputs: usize, rank: usize) -> Shape {
    Shape { rows, inputs, outputs, rank }
}

/// The operands of a layer.
struct Layer<S> {
    shape: Shape,
    x: Vec<S>,
    w: Vec<S>,
    a: Vec<S>,
    b: Vec<S>,
    frozen: Option<(Vec<S>, Vec<S>)>,
    dy: Vec<S>,
}

impl<S: Scalar> Layer<S> {
    fn new(shape: Shape, frozen: bool) -> Self {
        let Shape { rows, inputs, outputs, rank } = shape;
        Self {
            shape,
            x: draw(1, rows * inputs),
            w: draw(2, outputs * inputs),
            a: draw(3, rank * inputs),
            b: draw(4, outputs * rank),
            frozen: frozen.then(|| (draw(5, rank * inputs), draw(6, outputs * rank))),
            dy: draw(7, rows * outputs),
        }
    }

    fn frozen(&self) -> Option<Pair<'_, S>> {
        self.frozen.as_ref().map(|(a, b)| Pair { a, b })
    }

    /// z and y.
    fn forward_with(&self, w: Weights<'_, S>) -> (Vec<S>, Vec<S>) {
        let (mut z, mut y) = (poisoned(self.shape.rows * self.shape.rank), poisoned(self.dy.len()));
        let pair = Pair { a: &self.a, b: &self.b };
        let scratch = &mut Scratch::new();
        let (scale, threads) = (S::from_f64(SCALE), Threads::One);
        forward(self.shape, &self.x, &self.x, w, pair, self.frozen(), scale, &mut z, &mut y, threads, scratch);
        (z, y)
    }

    fn forward(&self) -> (Vec<S>, Vec<S>) {
        self.forward_with(Weights::Exact(&self.w))
    }

    /// y of the layer without any adapter.
    fn base(&self) -> Vec<S> {
        let Shape { rows, inputs, outputs, .. } = self.shape;
        let mut y = poisoned(self.dy.len());
        let shape = linear::Shape { rows, inputs, outputs };
        linear::forward(shape, &self.x, Weights::Exact(&self.w), &mut y, Threads::One, &mut Vec::new());
        y
    }

    /// dz, and da and db added to the given ones.
    fn backward_adapter(&self, mut da: Vec<S>, mut db: Vec<S>) -> [Vec<S>; 3] {
        let (z, _) = self.forward();
        let mut dz = poisoned(z.len());
        let scale = S::from_f64(SCALE);
        backward_adapter(self.shape, &self.x, &z, &self.dy, &self.b, scale, &mut dz, &mut da, &mut db);
        [dz, da, db]
    }

    fn backward_input_with(&self, w: Weights<'_, S>, dz: &[S], store: Store) -> Vec<S> {
        let mut dx = match store {
            Store::Set => poisoned(self.x.len()),
            Store::Add => draw(8, self.x.len()),
        };
        let scratch = &mut Scratch::new();
        let (dy, scale) = (&self.dy, S::from_f64(SCALE));
        backward_input(self.shape, dy, dz, w, Some(&self.a), self.frozen(), scale, &mut dx, store, scratch);
        dx
    }

    fn backward_input(&self, dz: &[S], store: Store) -> Vec<S> {
        self.backward_input_with(Weights::Exact(&self.w), dz, store)
    }
}

#[test]
fn gradients_are_those_of_the_forward_pass() {
    for shape in [shape(1, 1, 1, 1), shape(3, 5, 7, 2), shape(9, 17, 11, 4)] {
        for frozen in [false, true] {
            let mut layer = Layer::<f64>::new(shape, frozen);
            let (zero_a, zero_b) = (vec![0.0; layer.a.len()], vec![0.0; layer.b.len()]);
            let [dz, da, db] = layer.backward_adapter(zero_a, zero_b);
            let dx = layer.backward_input(&dz, Store::Set);
            let (x, a, b) = (layer.x.clone(), layer.a.clone(), layer.b.clone());
            let mut objective = |x: &[f64], a: &[f64], b: &[f64]| {
                layer.x.copy_from_slice(x);
                layer.a.copy_from_slice(a);
                layer.b.copy_from_slice(b);
                inner(&layer.dy, &layer.forward().1)
            };
            assert_derivative("lora_linear dx", &x, &dx, |x| objective(x, &a, &b));
            assert_derivative("lora_linear da", &a, &da, |a| objective(&x, a, &b));
            assert_derivative("lora_linear db", &b, &db, |b| objective(&x, &a, b));
        }
    }
}

/// With dropout A reads something else than W does, and each has a gradient of its own.
#[test]
fn a_masked_input_has_a_gradient_of_its_own() {
    let shape = shape(3, 5, 7, 2);
    for frozen in [false, true] {
        let layer = Layer::<f64>::new(shape, frozen);
        let masked = draw(9, layer.x.len());
        let run = |x: &[f64], of_adapter: &[f64], a: &[f64]| {
            let (mut z, mut y) = (poisoned(6), poisoned(21));
            let (w, pair) = (Weights::Exact(&layer.w[..]), Pair { a, b: &layer.b });
            let (frozen, scratch) = (layer.frozen(), &mut Scratch::new());
            forward(shape, x, of_adapter, w, pair, frozen, SCALE, &mut z, &mut y, Threads::One, scratch);
            (z, y)
        };
        let (z, _) = run(&layer.x, &masked, &layer.a);
        let (mut dz, mut da, mut db) = (poisoned(6), vec![0.0; layer.a.len()], vec![0.0; layer.b.len()]);
        backward_adapter(shape, &masked, &z, &layer.dy, &layer.b, SCALE, &mut dz, &mut da, &mut db);
        let (mut dx, mut d_masked) = (poisoned(15), poisoned(15));
        let (w, scratch) = (Weights::Exact(&layer.w[..]), &mut Scratch::new());
        backward_input(shape, &layer.dy, &dz, w, None, layer.frozen(), SCALE, &mut dx, Store::Set, scratch);
        let down = linear::Shape { rows: 3, inputs: 5, outputs: 2 };
        let a = Weights::Exact(&layer.a[..]);
        linear::backward_input(down, &dz, a, &mut d_masked, Store::Set, Threads::One, &mut Vec::new());
        let objective = |x: &[f64], of_adapter: &[f64], a: &[f64]| inner(&layer.dy, &run(x, of_adapter, a).1);
        assert_derivative("lora_linear dx", &layer.x, &dx, |x| objective(x, &masked, &layer.a));
        assert_derivative("lora_linear d masked", &masked, &d_masked, |masked| objective(&layer.x, masked, &layer.a));
        assert_derivative("lora_linear da", &layer.a, &da, |a| objective(&layer.x, &masked, a));
    }
}

#[test]
fn f32_is_within_the_tracked_bound() {
    struct All(Shape, bool, Store);
    impl Computation for All {
        fn outputs<S: Scalar>(&self) -> Vec<S> {
            let &All(shape, frozen, store) = self;
            let layer = Layer::new(shape, frozen);
            let (z, y) = layer.forward();
            let [dz, da, db] = layer.backward_adapter(draw(9, layer.a.len()), draw(10, layer.b.len()));
            let dx = layer.backward_input(&dz, store);
            [z, y, dz, da, db, dx].concat()
        }
    }
    for shape in SHAPES {
        for frozen in [false, true] {
            assert_within_bound("lora_linear set", &All(shape, frozen, Store::Set));
            assert_within_bound("lora_linear add", &All(shape, frozen, Store::Add));
        }
    }
}

fn zero_b_is_the_base<S: Scalar>() {
    for shape in SHAPES {
        let mut layer = Layer::<S>::new(shape, false);
        layer.b.fill(S::ZERO);
        assert_eq!(layer.forward().1, layer.base(), "{shape:?}");
        let zeros = vec![S::ZERO; layer.b.len()];
        let [_, da, db] = layer.backward_adapter(vec![S::ZERO; layer.a.len()], zeros.clone());
        assert!(da.iter().all(|&da| da == S::ZERO), "{shape:?}");
        assert!(db.iter().all(|&db| db != S::ZERO), "{shape:?}");
    }
}

#[test]
fn an_adapter_with_zero_b_is_exactly_the_base_and_only_b_learns() {
    zero_b_is_the_base::<f32>();
    zero_b_is_the_base::<f64>();
}

fn equal_pairs_are_the_base<S: Scalar>() {
    // A rank above faer's blocks too: a product accumulated onto the other would not cancel there.
    for shape in SHAPES.into_iter().chain([shape(5, 40, 24, 1500)]) {
        let mut layer = Layer::<S>::new(shape, false);
        layer.frozen = Some((layer.a.clone(), layer.b.clone()));
        assert_eq!(layer.forward().1, layer.base(), "{shape:?}");
    }
}

#[test]
fn equal_trained_and_frozen_pairs_are_exactly_the_base() {
    equal_pairs_are_the_base::<f32>();
    equal_pairs_are_the_base::<f64>();
}

#[test]
fn the_merged_weight_gives_the_same_output() {
    for shape in SHAPES {
        for frozen in [false, true] {
            let layer = Layer::<f32>::new(shape, frozen);
            let tracked = Layer::<Tracked>::new(shape, frozen).forward().1;
            let (_, y) = layer.forward();
            // W + s (B A − B₀ A₀), in f64.
            let mut merged = Layer::<f64>::new(shape, frozen);
            let Shape { inputs, rank, .. } = shape;
            for (i, w) in merged.w.iter_mut().enumerate() {
                let (output, input) = (i / inputs, i % inputs);
                let product = |a: &[f64], b: &[f64]| -> f64 {
                    (0..rank).map(|r| b[output * rank + r] * a[r * inputs + input]).sum()
                };
                *w += SCALE * product(&merged.a, &merged.b);
                if let Some((a, b)) = &merged.frozen {
                    *w -= SCALE * product(a, b);
                }
            }
            for ((y, merged), tracked) in y.iter().zip(merged.base()).zip(tracked) {
                assert!((f64::from(*y) - merged).abs() <= tracked.error + 1e-12, "{shape:?}: {y} against {merged}");
            }
        }
    }
}

#[test]
fn stored_weights_count_as_their_value() {
    for shape in SHAPES {
        let mut layer = Layer::<f32>::new(shape, true);
        let halves: Vec<f16> = layer.w.iter().map(|&w| f16::from_f32(w)).collect();
        let brains: Vec<bf16> = layer.w.iter().map(|&w| bf16::from_f32(w)).collect();
        let halves_value: Vec<f32> = halves.iter().map(|w| w.to_f32()).collect();
        let brains_value: Vec<f32> = brains.iter().map(|w| w.to_f32()).collect();
        let [dz, ..] = layer.backward_adapter(layer.a.clone(), layer.b.clone());
        let (size, packings) = ([shape.outputs, shape.inputs], packings(shape.inputs));
        let words = packings.map(|packing| words(packing, size));
        let packed = [0, 1].map(|i| Weights::Packed(Packed::new(packings[i], &words[i], layer.w.len())));
        let packed = packed.map(|weights| (weights, weights.copy(&mut Vec::new()).to_vec()));
        let floats = [(Weights::F16(&halves), halves_value), (Weights::Bf16(&brains), brains_value)];
        for (stored, value) in floats.into_iter().chain(packed) {
            layer.w.copy_from_slice(&value);
            assert_eq!(layer.forward_with(stored), layer.forward(), "{shape:?}");
            assert_eq!(layer.forward_with(Weights::F32(&value)), layer.forward(), "{shape:?}");
            let dx = layer.backward_input_with(stored, &dz, Store::Set);
            assert_eq!(dx, layer.backward_input(&dz, Store::Set), "{shape:?}");
        }
    }
}
