//! The starts of an experiment's runs, scheme by scheme, without training.

use loralab_core::{device::Machine, lab};
use loralab_experiment::{Cell, Experiment, Message, SchemeStart};

use crate::{Control, Host, train, words};

/// Posts the start of every scheme, with the first seed. A training that starts meanwhile ends it.
pub(crate) async fn inspect(
    experiment: &Experiment,
    data: Option<&str>,
    machine: &Machine,
    control: &Control,
    host: &dyn Host,
) -> Result<(), String> {
    let experiment = lab::resolve(experiment).map_err(words)?;
    let prepared = train::prepare(&experiment, data, machine, host).await?;
    let cells = experiment.cells();
    let first = |scheme: &String| cells.iter().find(|cell| cell.scheme == *scheme);
    let firsts: Vec<&Cell> = experiment.schemes.iter().filter_map(first).collect();
    for (done, &cell) in firsts.iter().enumerate() {
        if control.is_busy() {
            return Ok(());
        }
        let began = host.seconds();
        let start = prepared.compute_start(&experiment, cell).await.map_err(words)?;
        let start = SchemeStart {
            scheme: cell.scheme.clone(),
            scale: start.adapter.scale(),
            layers: start.layers,
            tokens: start.tokens,
            seconds: host.seconds() - began,
        };
        host.post(Message::Start { start, left: firsts.len() - 1 - done });
        host.breathe().await;
    }
    Ok(())
}
