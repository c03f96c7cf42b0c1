//! Two classes: how often each was said of texts of each.

/// Counts of a model's answers where there are two classes, the second of which is the positive one, as in GLUE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Confusion {
    /// For each true class how many texts the model put into each class.
    pub counts: [[usize; 2]; 2],
}

impl Confusion {
    /// Number of texts.
    pub fn texts(self) -> usize {
        self.counts.as_flattened().iter().sum()
    }

    /// The harmonic mean of precision and recall, 2·TP / (2·TP + FP + FN); 0 if the positive class is neither there nor said.
    pub fn f1(self) -> f64 {
        let [[_, false_positive], [false_negative, positive]] = self.counts;
        let all = 2 * positive + false_positive + false_negative;
        if all == 0 { 0.0 } else { 2.0 * positive as f64 / all as f64 }
    }

    /// Matthews' correlation coefficient, (TP·TN − FP·FN) / √((TP+FP)(TP+FN)(TN+FP)(TN+FN)); 0 if a factor is 0, as in scikit-learn.
    pub fn matthews(self) -> f64 {
        let [[tn, fp], [fn_, tp]] = self.counts.map(|row| row.map(|count| count as f64));
        let product = (tp + fp) * (tp + fn_) * (tn + fp) * (tn + fn_);
        if product == 0.0 { 0.0 } else { (tp * tn - fp * fn_) / product.sqrt() }
    }
}

impl std::ops::AddAssign for Confusion {
    fn add_assign(&mut self, other: Self) {
        for (own, other) in self.counts.as_flattened_mut().iter_mut().zip(other.counts.as_flattened()) {
            *own += other;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measures_are_those_of_their_formulas() {
        let table = Confusion { counts: [[50, 10], [5, 35]] };
        assert_eq!(table.texts(), 100);
        assert!((table.f1() - 70.0 / 85.0).abs() < 1e-15);
        // (35·50 − 10·5) / √(45·40·60·55)
        assert!((table.matthews() - 1700.0 / 5_940_000.0_f64.sqrt()).abs() < 1e-15);
        let one_sided = Confusion { counts: [[60, 0], [40, 0]] };
        assert_eq!((one_sided.f1(), one_sided.matthews()), (0.0, 0.0));
        let mut sum = table;
        sum += one_sided;
        assert_eq!(sum.counts, [[110, 10], [45, 35]]);
    }
}
