//! The worker's ends in the browser: messages in, messages out, and a clock.

#[cfg(target_family = "wasm")]
mod browser {
    use std::{panic, rc::Rc, sync::Arc};

    use js_sys::global;
    use loralab_core::device::Machine;
    use loralab_core::gpu::{Accelerator, Checks, GpuError, Options, Profile, Tiling, Wanted, adapters};
    use loralab_core::shader::Tiles;
    use loralab_experiment::Message;
    use loralab_worker::{Host, answer};
    use wasm_bindgen::{JsCast, JsValue, closure::Closure};
    use wasm_bindgen_futures::spawn_local;
    use web_sys::{DedicatedWorkerGlobalScope, MessageEvent, Performance};

    /// The worker's own thread in the browser.
    struct Browser {
        scope: DedicatedWorkerGlobalScope,
        clock: Performance,
    }

    impl Browser {
        fn here() -> Browser {
            let scope: DedicatedWorkerGlobalScope = global().unchecked_into();
            let clock = scope.performance().expect("every worker has a clock");
            Browser { scope, clock }
        }
    }

    impl Host for Browser {
        fn seconds(&self) -> f64 {
            self.clock.now() / 1000.0
        }

        fn post(&mut self, message: Message) {
            let text = serde_json::to_string(&message).expect("messages hold nothing that JSON has no word for");
            self.scope.post_message(&JsValue::from_str(&text)).expect("a text can be posted");
        }
    }

    /// Waits for experiments.
    pub fn listen() {
        panic::set_hook(Box::new(|fault| {
            let reason = format!("loralab has a fault, and the training could not go on: {fault}");
            Browser::here().post(Message::Refused { reason });
        }));
        spawn_local(async {
            match machine().await {
                Ok(machine) => answer_messages(Rc::new(machine)),
                Err(error) => Browser::here().post(Message::Refused { reason: error.to_string() }),
            }
        });
    }

    fn answer_messages(machine: Rc<Machine>) {
        let mut browser = Browser::here();
        let on_message = Closure::<dyn FnMut(MessageEvent)>::new(move |event: MessageEvent| {
            let (request, machine) = (event.data().as_string().unwrap_or_default(), machine.clone());
            spawn_local(async move { answer(&request, &machine, &mut Browser::here()).await });
        });
        browser.scope.set_onmessage(Some(on_message.as_ref().unchecked_ref()));
        // It listens for as long as the worker lives.
        on_message.forget();
        browser.post(Message::Ready);
    }

    /// What the worker's address asks for: `?device=cpu`, `?device=gpu` (a software one too), or else a real GPU if there is one that works.
    #[expect(clippy::arc_with_non_send_sync, reason = "a browser's worker has one thread; natively the same is sent")]
    async fn machine() -> Result<Machine, GpuError> {
        let query = Browser::here().scope.location().search();
        let asked = query.contains("device=gpu");
        if query.contains("device=cpu") {
            return Ok(Machine::Cpu(None));
        }
        match open(if asked { Wanted::Any } else { Wanted::Hardware }).await {
            Ok(accelerator) => Ok(Machine::Gpu(Arc::new(accelerator))),
            Err(error) if asked => Err(error),
            Err(_) => Ok(Machine::Cpu(None)),
        }
    }

    async fn open(wanted: Wanted) -> Result<Accelerator, GpuError> {
        let clock = || Browser::here().seconds();
        let options = Options {
            profile: Profile::WebBase,
            checks: Checks::On,
            tiling: Tiling::Given(Tiles::default()),
            clock,
            building: |_, _| {},
        };
        Accelerator::open(wanted.choose(adapters().await)?, options).await
    }
}

#[cfg(target_family = "wasm")]
fn main() {
    browser::listen();
}

#[cfg(not(target_family = "wasm"))]
fn main() {
    eprintln!("the worker runs in a browser: `cargo xtask web` builds the page around it and serves it");
}
