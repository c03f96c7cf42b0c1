//! A short training at a higher rank, of all runs whose scheme starts from one, as a cohort.

use std::sync::Arc;

use loralab_linalg::{Svd, from_rows, product_svd};

use super::{Calibrated, Calibration, CalibrationError, Setup};
use crate::{
    graph::{
        plan::{Plan, Shape},
        tape::{Purpose, Tape},
    },
    lab::train::{Cohort, CohortError, Initial, Run},
    lora::init::{self, Chosen, Layer, Start, StartError},
    models::Training,
};

/// The scheme that starts the preheated adapter.
const BEGIN: &str = "init-a";

impl Calibration<'_, '_> {
    /// The starts of runs of one scheme that starts from a training.
    pub(super) async fn preheat(
        &self,
        runs: &[Run],
        plan: &Plan,
        start: fn(&Layer<'_>, &Svd) -> Result<Start, StartError>,
        ranks: usize,
        steps: usize,
    ) -> Result<Vec<Result<Calibrated, StartError>>, CalibrationError> {
        let wide = Arc::new(heating(&self.setup, runs.len(), ranks));
        let device = (self.make_device)(wide.clone(), self.setup.base.tensors.clone()).await?;
        let scheme = init::find(BEGIN).expect("the scheme is in the list");
        let drawn = runs.iter().map(|run| Run { scheme, chosen: Chosen::default(), ..run.clone() }).collect();
        let cohort = Cohort::new(drawn, wide.clone(), &self.setup.base.tensors, device, self.train);
        let mut cohort = cohort.map_err(|error| match error {
            CohortError::Data(error) => CalibrationError::from(error),
            CohortError::Start(error) => error.into(),
        })?;
        for step in 0..steps {
            cohort.step(1.0);
            if cohort.is_busy() || step + 1 == steps {
                // A run that diverges keeps the values from before it diverged.
                cohort.outcomes().await?;
            }
        }
        let trained = cohort.device().trained().await?;
        let mut found = Vec::with_capacity(runs.len());
        for (run, trained) in runs.iter().zip(trained) {
            let starts = self.setup.layers(plan, run).zip(&wide.sites).map(|(layer, site)| {
                let [a, b] = [0, 1].map(|factor| {
                    let [rows, columns] = site.shapes()[factor];
                    from_rows(&trained[site.factors()[factor].range()], rows, columns)
                });
                let product = product_svd(b.as_ref(), a.as_ref());
                let product = product.map_err(layer.undecomposed("preheated product"))?;
                run.scheme.finite(&layer, start(&layer, &product)?)
            });
            let starts: Result<_, _> = starts.collect();
            let tokens = steps * self.setup.sequences * self.setup.tokens;
            found.push(
                starts.map(|starts| Calibrated { initial: Arc::new(Initial::lay(plan, starts, run.seed)), tokens }),
            );
        }
        Ok(found)
    }
}

/// The plan of the training of `runs` runs at a multiple of their rank.
pub(super) fn heating(setup: &Setup<'_>, runs: usize, ranks: usize) -> Plan {
    let Setup { base, adapters, sequences, tokens, optimizer, preconditioner } = *setup;
    let adapters = adapters.times(ranks);
    let mut tape = Tape::new(Shape { runs, sequences, tokens }, false);
    base.model.record(&mut tape, Training::Adapters(base, &adapters));
    tape.precondition(preconditioner);
    tape.compile(Purpose::Train(optimizer))
}
