//! What the person wants of the training that is under way.

use std::{
    cell::{Cell, RefCell},
    ops::ControlFlow,
};

use futures_channel::oneshot;
use loralab_experiment::Ask;

/// Shared between the one who hears what is asked and the one who trains, on the same thread.
#[derive(Default)]
pub struct Control {
    pace: Cell<Pace>,
    busy: Cell<bool>,
    /// Wakes the training that waits.
    waiting: RefCell<Option<oneshot::Sender<()>>>,
}

/// How the training goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pace {
    #[default]
    Run,
    /// One step, then wait.
    Step,
    Wait,
    Stop,
}

impl Control {
    /// Takes what concerns the training under way, and says whether `ask` was that.
    pub fn hears(&self, ask: &Ask) -> bool {
        let pace = match ask {
            Ask::Pause => Pace::Wait,
            Ask::Step => Pace::Step,
            Ask::Resume => Pace::Run,
            Ask::Stop => Pace::Stop,
            Ask::Train { .. } | Ask::Inspect { .. } | Ask::Write { .. } | Ask::Base { .. } | Ask::Check | Ask::Lose => {
                return false;
            }
        };
        // What is told to a training that is over must not hold up the next.
        if self.busy.get() {
            self.pace.set(pace);
            if let Some(sender) = self.waiting.take() {
                // One that is gone needs no waking.
                let _ = sender.send(());
            }
        }
        true
    }

    /// Begins a training, unless one is under way.
    pub(crate) fn begin(&self) -> bool {
        self.pace.set(Pace::Run);
        !self.busy.replace(true)
    }

    /// Whether a training is under way.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.get()
    }

    /// The training is over.
    pub(crate) fn end(&self) {
        self.busy.set(false);
    }

    /// Whether the training has to wait now.
    pub(crate) fn waits(&self) -> bool {
        self.pace.get() == Pace::Wait
    }

    /// Waits for as long as it is wanted, and says whether to go on.
    pub(crate) async fn turn(&self) -> ControlFlow<()> {
        loop {
            match self.pace.get() {
                Pace::Run => return ControlFlow::Continue(()),
                Pace::Step => {
                    self.pace.set(Pace::Wait);
                    return ControlFlow::Continue(());
                }
                Pace::Stop => return ControlFlow::Break(()),
                Pace::Wait => {
                    let (sender, receiver) = oneshot::channel();
                    self.waiting.replace(Some(sender));
                    // A sender that is dropped wakes as well, and the pace is looked at again.
                    let _ = receiver.await;
                }
            }
        }
    }
}
