use super::{ADAMW, plan, run, train};
use loralab_core::graph::tape::Purpose;

const STEPS: usize = 5;

#[test]
fn a_run_that_diverges_is_marked_and_leaves_the_others_as_they_are() {
    let good = [run("init-a", 0, 4e-3), run("init-b", 0, 4e-3), run("init-b", 1, 2e-3)];
    let without = train(&good, STEPS, 2);
    let [first, second, third] = good;
    // The first step is taken from the base's own loss and is finite; what it leaves behind is not.
    let cohort = [first, run("init-a", 0, 1e30), second, run("init-b", 1, f64::MAX), third];
    let mut traces = train(&cohort, STEPS, 2);
    let names: Vec<String> = plan(1, false, Purpose::Train(ADAMW)).parameters.into_iter().map(|p| p.name).collect();
    for bad in [traces.remove(3), traces.remove(1)] {
        let (step, tensor) = bad.diverged.expect("a rate of 1e30 diverges");
        assert_eq!(step, 2);
        assert_eq!(bad.losses.len(), step, "a diverged run takes no further part");
        assert!(bad.losses[0].is_finite());
        assert!(names.contains(&tensor), "{tensor} is no tensor of the plan");
        assert!(bad.validation.is_none());
    }
    assert!(traces == without, "a neighbour's divergence changed a run");
}
