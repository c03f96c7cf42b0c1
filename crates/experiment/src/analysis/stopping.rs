//! Early stopping: which runs of a cohort can no longer be the best of their scheme.
//!
//! Runs are compared with runs of their own scheme only, since schemes lead at different times: init-b early, init-a late. The rule decides at *rungs*
//! ([`Resolved::is_rung`]): a twentieth of the steps, and each doubling of it. These are the rungs of successive halving (Jamieson, Talwalkar 2016,
//! arXiv 1502.07943; ASHA: Li et al. 2020, arXiv 1810.05934), but a rate leaves because of its loss and not of its rank, as runs do in ALTO
//! (arXiv 2604.05426): of rates that are equally good all stay. At a rung, for every rate of a scheme:
//!
//! 1. It is compared with the rate that leads it: of the rates at which no seed diverged or was stopped, the one with which it has the most seeds in common,
//!    and of those the one with the lowest loss on these seeds. The *gap* is the mean over these seeds of the difference of the validation losses.
//! 2. A small rate leads late, so the gap is extrapolated: if it closed by c since the last rung, it is taken to close by c again in each further doubling
//!    of the steps, up to the last step. At the first rung nothing is known of that, and a rate below its leader stays.
//! 3. The rate is stopped, with all its seeds, if the extrapolated gap is larger than two standard errors of the gap over seeds (none with one seed), and
//!    than a share of the leader's loss and of what the leader has gained on the base's loss, whichever is less. The share is 3 % for a rate below its
//!    leader and 10 % for one above, whose loss comes down late, with the schedule, in a way that its slope does not show.
//!
//! Nothing is decided during the warm-up, or while the leader has gained nothing. A rate at which a seed diverged or was stopped can't be the best, so its
//! other seeds are stopped too. A scheme keeps a rate in any case. `docs/stopping.md` has what the rule saves and costs.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::summary::Summary;
use crate::config::table::Resolved;
use crate::protocol::run::{RunResult, StopReason, Stopped};

/// Standard errors of a gap that may be chance.
const ERRORS: f64 = 2.0;
/// The shares of the leader's loss, and of its gain on the base, that a rate below it and one above it may make up in ways that no extrapolation shows.
const SHARES: [f64; 2] = [0.03, 0.1];
/// The first rung is this share of the steps.
const FIRST: usize = 20;

impl Resolved {
    /// True if early stopping decides after `done` steps.
    pub fn is_rung(&self, done: usize) -> bool {
        self.rungs().any(|rung| rung == done)
    }

    /// The steps after which early stopping decides, rising; none if it is off.
    pub fn rungs(&self) -> impl Iterator<Item = usize> + use<> {
        let most = if self.stop_early { FIRST } else { 0 };
        let doublings = (0..).map_while(move |doubling| (1_usize << doubling < most).then_some(1_usize << doubling));
        let steps = self.steps;
        doublings.map(move |times| (steps as u128 * times as u128 / FIRST as u128) as usize).filter(|&rung| rung > 0)
    }
}

/// The stop of each of the `running` runs of a cohort after `step` steps, none for one that goes on. `ended` are the other runs of the sweep that are over.
/// The result depends on the losses and stops in these results only, in whatever order.
pub fn stops(
    experiment: &Resolved,
    base_loss: Option<f64>,
    step: usize,
    ended: &[RunResult],
    running: &[RunResult],
) -> Vec<Option<Stopped>> {
    let mut stops = vec![None; running.len()];
    if !experiment.is_rung(step) || step <= experiment.warmup_steps {
        return stops;
    }
    let schemes: BTreeSet<&str> = running.iter().map(|run| run.cell.scheme.as_str()).collect();
    for scheme in schemes {
        let rung = Rung { experiment, base_loss, step, rates: rates(scheme, ended, running) };
        let found: Vec<Option<Stopped>> = rung.rates.iter().map(|rate| rung.stop(rate)).collect();
        // Gaps over different seeds may contradict each other.
        if !rung.rates.iter().zip(&found).any(|(rate, stop)| stop.is_none() && rate.may_be_best()) {
            continue;
        }
        let of_rate = |run: &RunResult| {
            let place = rung.rates.iter().position(|rate| rate.learning_rate == run.cell.learning_rate)?;
            found[place].filter(|_| run.cell.scheme == scheme && !run.is_over())
        };
        for (stop, run) in stops.iter_mut().zip(running) {
            *stop = stop.or_else(|| of_rate(run));
        }
    }
    stops
}

/// The runs of a scheme at one rate, by seed.
struct Rate<'a> {
    learning_rate: f64,
    runs: BTreeMap<u64, &'a RunResult>,
}

/// The rates of a scheme, rising, at a rung.
struct Rung<'a> {
    experiment: &'a Resolved,
    base_loss: Option<f64>,
    step: usize,
    rates: Vec<Rate<'a>>,
}

/// The runs of a scheme, by rising rate.
fn rates<'a>(scheme: &str, ended: &'a [RunResult], running: &'a [RunResult]) -> Vec<Rate<'a>> {
    let mut rates: Vec<Rate<'a>> = vec![];
    for run in ended.iter().chain(running).filter(|run| run.cell.scheme == scheme && run.failed.is_none()) {
        let learning_rate = run.cell.learning_rate;
        let place = rates.iter().position(|rate| rate.learning_rate == learning_rate).unwrap_or(rates.len());
        if place == rates.len() {
            rates.push(Rate { learning_rate, runs: BTreeMap::new() });
        }
        rates[place].runs.insert(run.cell.seed, run);
    }
    rates.sort_by(|one, other| one.learning_rate.total_cmp(&other.learning_rate));
    rates
}

impl Rate<'_> {
    /// True if no seed diverged or was stopped.
    fn may_be_best(&self) -> bool {
        self.runs.values().all(|run| !run.is_diverged() && run.stopped.is_none())
    }

    /// The differences of the losses after `step` steps from those of another rate, over the seeds that both have.
    fn gaps(&self, other: &Rate<'_>, step: usize) -> Vec<f64> {
        let pairs = self.runs.iter().filter_map(|(seed, run)| Some((run, other.runs.get(seed)?)));
        pairs.filter_map(|(own, other)| Some(own.loss_after(step)? - other.loss_after(step)?)).collect()
    }

    /// The mean loss after `step` steps over the seeds that another rate has, too.
    fn loss_beside(&self, other: &Rate<'_>, step: usize) -> Option<f64> {
        let common = self.runs.iter().filter(|(seed, _)| other.runs.contains_key(seed));
        let losses: Vec<f64> = common.filter_map(|(_, run)| run.loss_after(step)).collect();
        (!losses.is_empty()).then(|| loralab_statistics::mean(&losses))
    }
}

impl Rung<'_> {
    /// The stop of a rate's runs; none if they go on.
    fn stop(&self, rate: &Rate<'_>) -> Option<Stopped> {
        let &Rung { step, base_loss, .. } = self;
        let other = |other: &&Rate<'_>| other.learning_rate != rate.learning_rate && other.may_be_best();
        let compared = self.rates.iter().filter(other).map(|other| (other, rate.gaps(other, step)));
        let mean = loralab_statistics::mean;
        let (leader, gaps) = compared
            .filter(|(_, gaps)| !gaps.is_empty())
            .max_by(|(_, one), (_, other)| one.len().cmp(&other.len()).then(mean(one).total_cmp(&mean(other))))?;
        let (behind, best) = (mean(&gaps), leader.learning_rate);
        if !rate.may_be_best() {
            return Some(Stopped { step, why: StopReason::OtherSeed, best, behind });
        }
        let earlier = self.experiment.rungs().take_while(|&rung| rung < step).last();
        let earlier = earlier.map(|rung| (rung, rate.gaps(leader, rung))).filter(|(_, gaps)| !gaps.is_empty());
        let is_above = rate.learning_rate > best;
        let closed = earlier.map(|(rung, gaps)| (rung, mean(&gaps) - behind));
        let further = match closed {
            Some((rung, closed)) => {
                let [ahead, since] =
                    [(self.experiment.steps, step), (step, rung)].map(|(to, from)| to as f64 / from as f64);
                closed.max(0.0) * ahead.ln() / since.ln()
            }
            None if is_above => 0.0,
            None => return None,
        };
        let loss = leader.loss_beside(rate, step)?;
        let gained = base_loss.map_or(loss, |base| base - loss);
        let chance = ERRORS * loralab_statistics::standard_error(&gaps).unwrap_or(0.0);
        let stops = gained > 0.0 && behind - further > chance.max(SHARES[usize::from(is_above)] * loss.min(gained));
        let is_closing = closed.is_some_and(|(_, closed)| closed > 0.0);
        let why = if is_above && !is_closing { StopReason::PastEdge } else { StopReason::Behind };
        stops.then_some(Stopped { step, why, best, behind })
    }
}

impl Summary {
    /// The number of runs that were stopped early, as a sentence; none if no run was.
    pub(crate) fn stopped_in_words(&self) -> Option<String> {
        let stopped: usize = self.schemes.iter().map(|scheme| scheme.stopped()).sum();
        let runs: usize = self.schemes.iter().map(|scheme| scheme.runs).sum();
        let were = if stopped == 1 { "was" } else { "were" };
        (stopped > 0).then(|| {
            format!("{stopped} of {runs} runs {were} stopped early, at rates that could no longer be their scheme's best; they count as neither finished nor diverged.")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analysis::summary::tests::run;
    use crate::config::table::Experiment;
    use crate::protocol::run::{Evaluation, TextMeasures};

    fn experiment() -> Resolved {
        let experiment = Experiment { stop_early: Some(true), ..Experiment::default() };
        experiment.resolve(&["init-a", "init-b"]).expect("it is right")
    }

    /// A run in training that was validated at the rungs, with these losses.
    fn validated(rate: f64, seed: u64, losses: &[f64]) -> RunResult {
        let rungs = [10, 20, 40, 80, 160, 200];
        let evaluation = |(&step, &loss): (&usize, &f64)| Evaluation {
            step,
            loss: Some(loss),
            accuracy: None,
            text: TextMeasures::default(),
        };
        let evaluations = rungs.iter().zip(losses).map(evaluation).collect();
        RunResult { final_loss: None, accuracy: None, evaluations, ..run("init-a", rate, seed, 1.0) }
    }

    fn whys(step: usize, ended: &[RunResult], running: &[RunResult]) -> Vec<Option<StopReason>> {
        let found = stops(&experiment(), Some(3.0), step, ended, running);
        found.iter().map(|stop| stop.map(|stop| stop.why)).collect()
    }

    #[test]
    fn rungs_double_and_are_the_only_steps_that_decide() {
        let rungs = |steps| {
            let experiment = Resolved { steps, ..experiment() };
            (0..=steps).filter(|&step| experiment.is_rung(step)).collect::<Vec<_>>()
        };
        assert_eq!(rungs(200), [10, 20, 40, 80, 160]);
        assert_eq!(rungs(8), [1, 3, 6]);
        assert_eq!(rungs(1), [0; 0]);
        let off = Resolved { stop_early: false, ..experiment() };
        assert!((0..=200).all(|step| !off.is_rung(step)));
        let running = [validated(1e-3, 0, &[1.0, 1.0]), validated(1e-2, 0, &[2.0, 2.5])];
        assert_eq!(whys(10, &[], &running), [None, Some(StopReason::PastEdge)]);
        assert_eq!(whys(11, &[], &running), [None; 2]);
        let warm = Resolved { warmup_steps: 10, ..experiment() };
        assert_eq!(stops(&warm, Some(3.0), 10, &[], &running), [None; 2]);
        assert!(stops(&warm, Some(3.0), 20, &[], &running)[1].is_some());
    }

    #[test]
    fn a_small_rate_gets_the_time_that_its_slope_needs() {
        let small = |losses: &[f64]| [validated(1e-3, 0, losses), validated(4e-3, 0, &[0.9, 0.8])];
        // At the first rung nothing is known of its slope.
        assert_eq!(whys(10, &[], &small(&[2.0])), [None; 2]);
        // 0.4 behind; log2(200 / 20) = 3.3 doublings are left, in each of which it makes up another 0.15, or 0.1.
        assert_eq!(whys(20, &[], &small(&[1.45, 1.2])), [None; 2]);
        assert_eq!(whys(20, &[], &small(&[1.4, 1.2])), [Some(StopReason::Behind), None]);
        let found = stops(&experiment(), Some(3.0), 20, &[], &small(&[1.4, 1.2]))[0].expect("it is stopped");
        assert_eq!(found.in_words(), "was stopped after step 20: it was 0.400 behind 4e-3, more than it could make up");
    }

    #[test]
    fn a_gap_within_the_spread_of_seeds_stops_nothing() {
        // Mean gaps of 0.1: with standard errors of 0.08 and 0.01.
        let running = |gaps: [f64; 2]| {
            let run = |rate, seed, loss| validated(rate, seed, &[1.0, loss]);
            [run(4e-3, 0, 1.0), run(4e-3, 1, 0.9), run(8e-3, 0, 1.0 + gaps[0]), run(8e-3, 1, 0.9 + gaps[1])]
        };
        assert_eq!(whys(20, &[], &running([0.02, 0.18])), [None; 4]);
        let past = Some(StopReason::PastEdge);
        assert_eq!(whys(20, &[], &running([0.11, 0.09])), [None, None, past, past]);
        // Within a tenth of the loss, or of the gain.
        assert_eq!(whys(20, &[], &running([0.04, 0.04])), [None; 4]);
        let stops = |base| stops(&experiment(), base, 20, &[], &running([0.04, 0.04]));
        assert!(stops(Some(1.2))[2].is_some() && stops(Some(0.9))[2].is_none() && stops(None)[2].is_none());
    }

    #[test]
    fn earlier_runs_of_the_sweep_and_other_seeds_count() {
        let ended = RunResult { final_loss: Some(0.5), ..validated(4e-3, 0, &[1.0, 0.9]) };
        let late = [validated(1.6e-2, 0, &[1.0, 1.5])];
        assert_eq!(whys(20, std::slice::from_ref(&ended), &late), [Some(StopReason::PastEdge)]);
        assert_eq!(whys(20, &[], &late), [None]);
        // Another scheme is no comparison, nor is a rate at which a seed diverged.
        let other =
            RunResult { cell: crate::Cell { scheme: "init-b".to_owned(), ..ended.cell.clone() }, ..ended.clone() };
        assert_eq!(whys(20, &[other, run("init-a", 2e-3, 0, f64::INFINITY)], &late), [None]);
        let stop = stops(&experiment(), Some(3.0), 20, std::slice::from_ref(&ended), &late)[0];
        let stopped = RunResult { stopped: stop, ..late[0].clone() };
        let next = [validated(4e-3, 1, &[1.0, 0.9]), validated(1.6e-2, 1, &[0.9, 0.8])];
        assert_eq!(whys(20, &[ended, stopped], &next), [None, Some(StopReason::OtherSeed)]);
    }
}
