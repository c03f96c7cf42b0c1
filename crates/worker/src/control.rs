//! The user's control of the training: pause, step, resume, stop.

use std::{
    cell::{Cell, RefCell},
    ops::ControlFlow,
};

use futures_channel::oneshot;
use loralab_experiment::Request;

/// The control that the message handler and the training share, on the same thread.
#[derive(Default)]
pub struct Control {
    pace: Cell<Pace>,
    busy: Cell<bool>,
    /// Wakes a paused training.
    waiting: RefCell<Option<oneshot::Sender<()>>>,
}

/// The pace of the training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Pace {
    #[default]
    Run,
    /// One step, then pause.
    Step,
    Wait,
    Stop,
}

impl Control {
    /// Handles requests about the training; true if `request` was one.
    pub fn accepts(&self, request: &Request) -> bool {
        let pace = match request {
            Request::Pause => Pace::Wait,
            Request::Step => Pace::Step,
            Request::Resume => Pace::Run,
            Request::Stop => Pace::Stop,
            Request::Train { .. }
            | Request::Inspect { .. }
            | Request::Write { .. }
            | Request::Base { .. }
            | Request::Check
            | Request::Lose => {
                return false;
            }
        };
        // A request for a training that has ended must not affect the next.
        if self.busy.get() {
            self.pace.set(pace);
            if let Some(sender) = self.waiting.take() {
                // A receiver that was dropped needs no waking.
                let _ = sender.send(());
            }
        }
        true
    }

    /// Marks a training as started; false if one is in progress.
    pub(crate) fn begin(&self) -> bool {
        self.pace.set(Pace::Run);
        !self.busy.replace(true)
    }

    /// True if a training is in progress.
    pub(crate) fn is_busy(&self) -> bool {
        self.busy.get()
    }

    /// Marks the training as ended.
    pub(crate) fn end(&self) {
        self.busy.set(false);
    }

    /// True if the training is to pause now.
    pub(crate) fn waits(&self) -> bool {
        self.pace.get() == Pace::Wait
    }

    /// Waits while the training is paused, and returns whether to continue.
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
                    // A dropped sender wakes the training as well; the loop then checks the pace again.
                    let _ = receiver.await;
                }
            }
        }
    }
}
