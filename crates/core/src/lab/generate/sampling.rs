//! The choice of the next token.

use loralab_linalg::Draws;

/// The rule that chooses the next token. The filters apply in transformers' order: temperature, then `top_k`, then `top_p`
/// (`generation/logits_process.py`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sampling {
    /// 0 always takes the likeliest token; 1 draws from the model's distribution; values between sharpen it.
    pub temperature: f64,
    /// Only so many of the likeliest tokens are drawn from, and those as likely as the last of them; `None` for all.
    pub top_k: Option<usize>,
    /// Only the likeliest tokens whose probabilities together reach this are drawn from, at least one; 1 for all.
    pub top_p: f64,
    /// The seed of the draws.
    pub seed: u64,
}

impl Default for Sampling {
    /// The likeliest token.
    fn default() -> Self {
        Sampling { temperature: 0.0, top_k: None, top_p: 1.0, seed: 0 }
    }
}

impl Sampling {
    /// The draws for the prompt of that index: the same for every adapter, so that they can be compared.
    pub(super) fn draws(&self, prompt: usize) -> Draws {
        match prompt {
            0 => Draws::new(self.seed, "generate"),
            index => Draws::new(self.seed, &format!("generate/{index}")),
        }
    }

    /// The index of the next token, from finite logits. Of equal logits the first is the likeliest, as in an evaluation and in Hugging Face's transformers.
    pub(super) fn choose(&self, logits: &[f32], draws: &mut Draws) -> usize {
        let best = (0..logits.len()).fold(0, |best, index| if logits[index] > logits[best] { index } else { best });
        if self.temperature <= 0.0 {
            return best;
        }
        let weight = |x: f32| (f64::from(x - logits[best]) / self.temperature).exp();
        let mut weights: Vec<f64> = logits.iter().map(|&x| weight(x)).collect();
        self.keep_likeliest(logits, &mut weights);
        let mut left = f64::from(draws.next_u32()) / 2f64.powi(32) * weights.iter().sum::<f64>();
        weights
            .iter()
            .position(|weight| {
                left -= weight;
                left < 0.0
            })
            .unwrap_or(best)
    }

    /// Sets the weights of tokens that are not drawn from to zero.
    fn keep_likeliest(&self, logits: &[f32], weights: &mut [f64]) {
        if self.top_k.is_none_or(|k| k >= logits.len()) && self.top_p >= 1.0 {
            return;
        }
        let mut order: Vec<usize> = (0..logits.len()).collect();
        order.sort_by(|&one, &other| logits[other].total_cmp(&logits[one]));
        if let Some(k) = self.top_k.filter(|&k| k < logits.len()) {
            let last = logits[order[k.max(1) - 1]];
            order.retain(|&index| logits[index] >= last);
        }
        // A token is kept as long as those that are likelier do not reach `top_p`.
        let total: f64 = order.iter().map(|&index| weights[index]).sum();
        let mut sum = 0.0;
        let kept = order.iter().take_while(|&&index| {
            let before = sum / total;
            sum += weights[index];
            before < self.top_p || before == 0.0
        });
        let count = kept.count();
        let mut keeps = vec![false; logits.len()];
        order[..count].iter().for_each(|&index| keeps[index] = true);
        weights.iter_mut().zip(keeps).filter(|(_, keep)| !keep).for_each(|(weight, _)| *weight = 0.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOGITS: [f32; 5] = [1.0, 3.0, 3.0, 0.0, 2.0];

    /// The tokens that 2000 draws give.
    fn drawn(sampling: Sampling) -> Vec<usize> {
        let mut draws = sampling.draws(0);
        let mut counts = [0; 5];
        (0..2000).for_each(|_| counts[sampling.choose(&LOGITS, &mut draws)] += 1);
        (0..5).filter(|&index| counts[index] > 0).collect()
    }

    #[test]
    fn without_temperature_the_first_of_the_likeliest_is_taken() {
        assert_eq!(drawn(Sampling::default()), [1]);
    }

    #[test]
    fn filters_keep_the_likeliest() {
        let all = Sampling { temperature: 1.0, ..Sampling::default() };
        assert_eq!(drawn(all), [0, 1, 2, 3, 4]);
        // The second and the first are as likely as each other.
        assert_eq!(drawn(Sampling { top_k: Some(1), ..all }), [1, 2]);
        assert_eq!(drawn(Sampling { top_k: Some(3), ..all }), [1, 2, 4]);
        assert_eq!(drawn(Sampling { top_k: Some(99), ..all }), [0, 1, 2, 3, 4]);
        // Probabilities: 0.39, 0.39, 0.14, 0.05, 0.02.
        assert_eq!(drawn(Sampling { top_p: 0.01, ..all }), [1]);
        assert_eq!(drawn(Sampling { top_p: 0.78, ..all }), [1, 2]);
        assert_eq!(drawn(Sampling { top_p: 0.9, ..all }), [1, 2, 4]);
        assert_eq!(drawn(Sampling { top_p: 0.9, top_k: Some(2), ..all }), [1, 2]);
    }

    #[test]
    fn draws_follow_the_probabilities() {
        let sampling = Sampling { temperature: 0.5, ..Sampling::default() };
        let mut draws = sampling.draws(3);
        let hits = (0..20_000).filter(|_| sampling.choose(&[0.0, 1.0], &mut draws) == 1).count() as f64 / 20_000.0;
        // 1 / (1 + e⁻²) is 0.881; four standard deviations are 0.009.
        assert!((hits - 0.881).abs() < 0.009, "{hits}");
    }

    #[test]
    fn each_prompt_has_draws_of_its_own() {
        let sampling = Sampling { temperature: 1.0, ..Sampling::default() };
        let [one, other] = [0, 1].map(|prompt| sampling.draws(prompt).next_u32());
        assert_ne!(one, other);
    }
}
