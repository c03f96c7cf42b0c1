//! The paper's toy experiment (Hayou, Ghosh and Yu 2024, arXiv 2406.08447): students of many widths learn a teacher, each at many learning rates.
//!
//! Data and teacher are the same for all; a seed fixes a student's frozen weights and its adapter's start. Runs that share those form a cohort. The
//! zero product of W_h is left out (see [`teacher_student`](crate::models::teacher_student)), so the cost of a step is proportional to n, not n².

use crate::graph::memory::InputName;
use std::{ops::ControlFlow, sync::Arc};

use loralab_cpu::{Matrix, Scalar, Store};
use loralab_experiment::{Form, Readout};
use loralab_linalg::Stream;

use super::SweepError;
use crate::{
    device::{Cpu, Device, DeviceError, Evaluation, Inputs, RunSettings},
    graph::{
        plan::{Optimizer, Plan, Shape},
        tape::{Purpose, Tape},
    },
    lab::train::{Run, start},
    lora::init::Scheme,
    models::teacher_student::{Network, teacher_student, weights},
};

/// The number of columns of x.
pub const INPUTS: usize = 5;
/// The width n and rank R of the teacher.
pub const TEACHER: [usize; 2] = [1000, 20];
/// The rank R of the students.
pub const RANK: usize = 4;
/// The numbers of training and test examples.
pub const EXAMPLES: [usize; 2] = [1000, 100];
const ADAM: Optimizer = Optimizer::AdamW { beta1: 0.9, beta2: 0.999, epsilon: 1e-8 };

/// Examples with the teacher's outputs, as rows of a plan; rows beyond the examples have weight 0.
#[derive(Clone, Debug, PartialEq)]
pub struct Examples {
    features: Vec<f32>,
    expected: Vec<f32>,
    weights: Vec<f32>,
}

/// The training and test data of the students.
#[derive(Clone, Debug, PartialEq)]
pub struct Lesson {
    train: Examples,
    test: Examples,
}

/// A student without its adapter: everything that the runs of a cohort share.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Student {
    /// The form of the network.
    pub form: Form,
    /// The readout's variance.
    pub readout: Readout,
    /// The width n.
    pub width: usize,
    /// The seed of the frozen weights and starts.
    pub seed: u64,
}

/// The scheme and learning rate of one run of a cohort.
#[derive(Clone, Copy, Debug)]
pub struct Trial {
    /// The initialisation scheme.
    pub scheme: &'static Scheme,
    /// The learning rate, constant over the training.
    pub learning_rate: f64,
}

/// The training history of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Course {
    /// The step, counted from 1, in which a value became non-finite, and the reason.
    pub diverged: Option<(usize, String)>,
    /// The records by rising step; the final step's comes last.
    pub records: Vec<Record>,
}

/// The errors of a run after a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Record {
    /// The number of steps done.
    pub step: usize,
    /// The mean squared error on the training examples.
    pub train: f64,
    /// The mean squared error on the test examples.
    pub test: f64,
    /// The means over the training examples of ‖Z_A‖ and ‖Z_B‖, if requested.
    pub norms: Option<[f64; 2]>,
}

impl Lesson {
    /// Standard normal inputs and a teacher's outputs. The teacher is of the students' form, with a readout of variance 1/n, A ~ N(0, 1/n) and
    /// B ~ N(0, 1/R). Computed on the CPU, whatever device trains the students, so that all learn the same data.
    pub fn new(form: Form) -> Lesson {
        let [width, rank] = TEACHER;
        let network = Network { inputs: INPUTS, width, rank, form, readout: Readout::Standard };
        let plan = compile(network, 1, EXAMPLES[0], Purpose::Predict);
        let mut device = Cpu::<f32>::new(plan.clone(), weights(network, 0, "teacher").into(), None);
        let mut trained = vec![0.0; plan.trained_len()];
        let (a, b) = trained.split_at_mut(rank * width);
        Stream::new(0, "teacher.hidden.lora_A.weight").normal((width as f32).sqrt().recip(), a);
        Stream::new(0, "teacher.hidden.lora_B.weight").normal((rank as f32).sqrt().recip(), b);
        device.load(0, &trained, &[], RunSettings::PLAIN);
        let examples = |name: &str, count: usize| {
            let rows = EXAMPLES[0];
            let mut features = vec![0.0; rows * INPUTS];
            Stream::new(0, name).normal(1.0, &mut features[..count * INPUTS]);
            let mut weights = vec![0.0; rows];
            weights[..count].fill(1.0 / count as f32);
            let blank = vec![0.0; rows];
            let input = Inputs::new()
                .with(InputName::Features, &features)
                .with(InputName::Expected, &blank)
                .with(InputName::Weights, &weights);
            let expected = device.predict(&[input]).remove(0);
            Examples { features, expected, weights }
        };
        Lesson { train: examples("toy.train", EXAMPLES[0]), test: examples("toy.test", EXAMPLES[1]) }
    }
}

impl Examples {
    fn input(&self) -> Inputs<'_> {
        Inputs::new()
            .with(InputName::Features, &self.features)
            .with(InputName::Expected, &self.expected)
            .with(InputName::Weights, &self.weights)
    }
}

impl Student {
    /// The student's network.
    pub fn network(&self) -> Network {
        Network { inputs: INPUTS, width: self.width, rank: RANK, form: self.form, readout: self.readout }
    }

    /// The plan of a training step of `runs` runs.
    pub fn plan(&self, runs: usize) -> Arc<Plan> {
        compile(self.network(), runs, EXAMPLES[0], Purpose::Train(ADAM))
    }

    /// h = φ(W_in x) of the training examples, (N, n).
    fn hidden(&self, lesson: &Lesson) -> Vec<f32> {
        let frozen = weights(self.network(), self.seed, "student");
        let w_in = frozen[0].data.to_f32();
        let mut hidden = vec![0.0; EXAMPLES[0] * self.width];
        let x = Matrix::new(&lesson.train.features, EXAMPLES[0], INPUTS);
        f32::matmul(&mut hidden, x, Matrix::new(&w_in, self.width, INPUTS).t(), 1.0, Store::Set);
        hidden.iter_mut().for_each(|h| *h = h.max(0.0));
        hidden
    }
}

fn compile(network: Network, runs: usize, rows: usize, purpose: Purpose) -> Arc<Plan> {
    let mut tape = Tape::new(Shape { runs, sequences: rows, tokens: 1 }, false);
    teacher_student(&mut tape, network);
    Arc::new(tape.compile(purpose))
}

/// Trains a cohort for `steps` full-batch steps on a device made for `student.plan(trials.len())` and the student's [`weights`]. Records
/// are taken after the last step and, with `every`, also before the first and after every `every`-th step, with norms. `progress` is called after each step; none if it breaks.
///
/// # Errors
/// If a scheme needs more than random draws, or the device fails.
pub async fn train(
    student: &Student,
    lesson: &Lesson,
    trials: &[Trial],
    steps: usize,
    every: Option<usize>,
    device: &mut dyn Device,
    mut progress: impl FnMut() -> ControlFlow<()>,
) -> Result<Option<Vec<Course>>, SweepError> {
    let plan = student.plan(trials.len());
    for (place, trial) in trials.iter().enumerate() {
        let run = Run {
            scheme: trial.scheme,
            chosen: Default::default(),
            seed: student.seed,
            learning_rate: trial.learning_rate,
            settings: RunSettings::PLAIN,
        };
        start(&plan, &[], &run)?.put(&mut *device, place, RunSettings::PLAIN);
    }
    let hidden = every.map(|_| student.hidden(lesson));
    let rates: Vec<f64> = trials.iter().map(|trial| trial.learning_rate).collect();
    let inputs = vec![lesson.train.input(); trials.len()];
    let mut courses = vec![Course::default(); trials.len()];
    let mut waiting = Vec::new();
    for step in 0..=steps {
        if step > 0 {
            device.step(&inputs, &rates);
            waiting.push(step);
            if progress().is_break() {
                return Ok(None);
            }
        }
        let recorded = step == steps || every.is_some_and(|every| step.is_multiple_of(every));
        if waiting.len() >= device.steps_ahead() || recorded {
            for (step, reports) in waiting.drain(..).zip(device.reports().await?) {
                for (course, report) in courses.iter_mut().zip(reports) {
                    if let Some(tensor) = report.and_then(|report| report.diverged) {
                        course.diverged = Some((step, tensor));
                    }
                }
            }
        }
        if recorded {
            record(step, lesson, hidden.as_deref(), device, &mut courses).await?;
        }
    }
    Ok(Some(courses))
}

async fn record(
    step: usize,
    lesson: &Lesson,
    hidden: Option<&[f32]>,
    device: &mut dyn Device,
    courses: &mut [Course],
) -> Result<(), DeviceError> {
    let inputs = [&lesson.train, &lesson.test].map(|examples| vec![examples.input(); courses.len()]);
    let evaluations = device.evaluate(&inputs).await?;
    let loss = |set: usize, run: usize| {
        let evaluation: Option<&Evaluation> = evaluations[set][run].as_ref();
        evaluation.map(|evaluation| evaluation.loss)
    };
    let trained = if hidden.is_some() { device.trained().await? } else { vec![] };
    for (run, course) in courses.iter_mut().enumerate().filter(|(_, course)| course.diverged.is_none()) {
        let Some((train, test)) = loss(0, run).zip(loss(1, run)) else { continue };
        if !train.is_finite() {
            course.diverged = Some((step, "the loss".to_owned()));
            continue;
        }
        let norms = hidden.map(|hidden| norms(hidden, &trained[run]));
        course.records.push(Record { step, train, test, norms });
    }
    Ok(())
}

/// N⁻¹ Σᵢ ‖Z_A(xᵢ)‖ and the same of Z_B (the paper's norms), from h (N, n) and A (R, n), B (n, R), which lie one after another in `trained`.
/// ‖B z‖² = zᵀ BᵀB z, so no row of Z_B is formed.
fn norms(hidden: &[f32], trained: &[f32]) -> [f64; 2] {
    let width = trained.len() / (2 * RANK);
    let rows = hidden.len() / width;
    let (a, b) = trained.split_at(RANK * width);
    let mut z = vec![0.0; rows * RANK];
    f32::matmul(&mut z, Matrix::new(hidden, rows, width), Matrix::new(a, RANK, width).t(), 1.0, Store::Set);
    let mut gram = [[0.0_f64; RANK]; RANK];
    for row in b.chunks_exact(RANK) {
        for i in 0..RANK {
            for j in 0..RANK {
                gram[i][j] += f64::from(row[i]) * f64::from(row[j]);
            }
        }
    }
    let mut sums = [0.0; 2];
    for z in z.chunks_exact(RANK) {
        sums[0] += loralab_linalg::norm(z);
        let product = |i: usize| (0..RANK).map(|j| gram[i][j] * f64::from(z[j])).sum::<f64>();
        sums[1] += (0..RANK).map(|i| f64::from(z[i]) * product(i)).sum::<f64>().max(0.0).sqrt();
    }
    sums.map(|sum| sum / rows as f64)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{device::wait, lora::init};

    fn student(form: Form, readout: Readout) -> Student {
        Student { form, readout, width: 32, seed: 1 }
    }

    fn trained(student: &Student, trials: &[Trial], steps: usize, every: Option<usize>) -> Vec<Course> {
        let plan = student.plan(trials.len());
        let mut device = Cpu::<f32>::new(plan, weights(student.network(), student.seed, "student").into(), None);
        let lesson = Lesson::new(student.form);
        let progress = || ControlFlow::Continue(());
        let courses = wait(train(student, &lesson, trials, steps, every, &mut device, progress));
        courses.expect("a CPU does not fail").expect("nothing breaks it")
    }

    fn trial(scheme: &str, learning_rate: f64) -> Trial {
        Trial { scheme: init::find(scheme).expect("a scheme"), learning_rate }
    }

    #[test]
    fn students_learn_and_their_norms_are_those_of_their_definition() {
        let student = student(Form::Residual, Readout::Standard);
        let courses = trained(&student, &[trial("init-a", 2e-2), trial("init-b", 1e-2)], 40, Some(20));
        for course in &courses {
            assert_eq!(course.records.iter().map(|record| record.step).collect::<Vec<_>>(), [0, 20, 40]);
            assert!(course.records[2].train < 0.8 * course.records[0].train, "{course:?}");
            assert!(course.diverged.is_none());
        }
        // Both start at the frozen network; Z_B starts at 0.
        assert_eq!(courses[0].records[0].train, courses[1].records[0].train);
        assert_eq!(courses[0].records[0].norms.map(|norms| norms[1]), Some(0.0));
        assert_eq!(courses[1].records[0].norms, Some([0.0, 0.0]));

        let hidden = [1.0, 2.0, 0.0, 3.0];
        let mut factors = vec![0.0_f32; 2 * 2 * RANK];
        // A has rows (1, 0) and (0, 1), B the columns (3, 0) and (0, 4): Z_A of (1, 2) is (1, 2), Z_B (3, 8).
        (factors[0], factors[3], factors[2 * RANK], factors[3 * RANK + 1]) = (1.0, 1.0, 3.0, 4.0);
        let [z_a, z_b] = norms(&hidden, &factors);
        assert!((z_a - (5f64.sqrt() + 3.0) / 2.0).abs() < 1e-12, "{z_a}");
        assert!((z_b - (73f64.sqrt() + 12.0) / 2.0).abs() < 1e-12, "{z_b}");
    }

    #[test]
    fn the_plain_form_with_nothing_in_its_hidden_matrix_is_dead() {
        let courses = trained(
            &student(Form::Plain, Readout::Standard),
            &[trial("init-a", 0.1), trial("init-b", 0.1)],
            5,
            Some(5),
        );
        for course in courses {
            assert_eq!(course.records[0].train, course.records[1].train);
        }
    }

    #[test]
    fn a_run_that_blows_up_is_marked_and_the_other_goes_on() {
        let student = student(Form::Residual, Readout::MeanField);
        let courses = trained(&student, &[trial("init-b", 1e30), trial("init-b", 1e-2)], 8, None);
        assert!(courses[0].diverged.is_some() && courses[0].records.is_empty(), "{courses:?}");
        assert_eq!(courses[1].records.len(), 1);
    }
}
